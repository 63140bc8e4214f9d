/* Operators in int8 with int32 sums: value = scale * (q - zero). Activations lie as height x width x channels. */

typedef int8_t value;

struct convolution {
    const int8_t *weights; /* group, kernel row, kernel column, input channel, output channel */
    const int32_t *bias;   /* with the input's zero worked in */
    const int16_t *multiplier;
    const uint8_t *shift;
    const int8_t *outside; /* one pixel of zeros, for what lies beyond the edges */
    struct window window;
    int16_t groups, zero, low, high;
};

/* x * multiplier / 2^shift, rounded. */
static int32_t scaled(int64_t x, int32_t multiplier, int32_t shift)
{
    return (int32_t)((x * multiplier + ((int64_t)1 << (shift - 1))) >> shift);
}

static int8_t clip(int32_t x, int32_t low, int32_t high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}

static void centre(const uint8_t *pixels, int8_t *out)
{
    int32_t i;

    for (i = 0; i < INPUT_HEIGHT * INPUT_WIDTH * 3; i++)
        out[i] = (int8_t)(pixels[i] - 128);
}

/* BLOCK output channels, or fewer, of one output pixel. */
enum { BLOCK = 8 };

static void sum_pixel(const struct convolution *l, const int8_t *in, int32_t top, int32_t left, int32_t group,
                      int32_t first, int32_t *sum)
{
    const struct window *w = &l->window;
    const int32_t inputs = w->channels / l->groups, outputs = w->out_channels / l->groups;
    const int8_t *weights = l->weights + (ptrdiff_t)group * w->kernel_height * w->kernel_width * inputs * outputs + first;
    int32_t ky, kx, c, j;

    memcpy(sum, l->bias + group * outputs + first, sizeof *sum * (size_t)(outputs < BLOCK ? outputs : BLOCK));
    for (ky = 0; ky < w->kernel_height; ky++)
        for (kx = 0; kx < w->kernel_width; kx++, weights += inputs * outputs) {
            const int32_t y = top + ky * w->dilation_height, x = left + kx * w->dilation_width;
            const int8_t *p = y < 0 || y >= w->height || x < 0 || x >= w->width
                                  ? l->outside
                                  : in + ((ptrdiff_t)y * w->width + x) * w->channels;
            const int8_t *k = weights;

            p += group * inputs;
            if (outputs < BLOCK)
                for (c = 0; c < inputs; c++, k += outputs)
                    for (j = 0; j < outputs; j++)
                        sum[j] += p[c] * k[j];
            else
                for (c = 0; c < inputs; c++, k += outputs)
                    for (j = 0; j < BLOCK; j++)
                        sum[j] += p[c] * k[j];
        }
}

#ifdef HAS_CONVOLVE
static void convolve(const struct convolution *l, const int8_t *in, int8_t *out)
{
    const struct window *w = &l->window;
    const int32_t outputs = w->out_channels / l->groups, block = outputs < BLOCK ? outputs : BLOCK;
    int32_t y, x, group, first, j, sum[BLOCK];

    for (y = 0; y < w->out_height; y++)
        for (x = 0; x < w->out_width; x++, out += w->out_channels)
            for (group = 0; group < l->groups; group++)
                for (first = 0; first < outputs; first += BLOCK) {
                    /* The last block reaches back over the one before it, so that all are whole. */
                    const int32_t start = first + block <= outputs ? first : outputs - block;
                    const int32_t channel = group * outputs + start;

                    sum_pixel(l, in, y * w->stride_height - w->top, x * w->stride_width - w->left, group, start, sum);
                    for (j = 0; j < block; j++)
                        out[channel + j] = clip(
                            l->zero + scaled(sum[j], l->multiplier[channel + j], l->shift[channel + j]), l->low, l->high);
                }
}
#endif

/* The last layer, whose sums become the logits without a detour through 8 bits. */
static void score(const struct convolution *l, const float *scales, const int8_t *in, float *logits)
{
    const int32_t outputs = l->window.out_channels, block = outputs < BLOCK ? outputs : BLOCK;
    int32_t first, j, sum[BLOCK];

    for (first = 0; first < outputs; first += BLOCK) {
        const int32_t start = first + block <= outputs ? first : outputs - block;

        sum_pixel(l, in, -l->window.top, -l->window.left, 0, start, sum);
        for (j = 0; j < block; j++)
            logits[start + j] = (float)sum[j] * scales[start + j];
    }
}

#ifdef HAS_DEPTHWISE
/* Each channel alone; weights are kernel row, kernel column, channel. */
static void convolve_depthwise(const struct convolution *l, const int8_t *in, int8_t *out)
{
    const struct window *w = &l->window;
    int32_t y, x, ky, kx, c, first, sum[4 * BLOCK];

    for (y = 0; y < w->out_height; y++)
        for (x = 0; x < w->out_width; x++, out += w->out_channels)
            for (first = 0; first < w->channels; first += 4 * BLOCK) {
                const int32_t count = w->channels - first < 4 * BLOCK ? w->channels - first : 4 * BLOCK;

                memcpy(sum, l->bias + first, sizeof *sum * (size_t)count);
                for (ky = 0; ky < w->kernel_height; ky++)
                    for (kx = 0; kx < w->kernel_width; kx++) {
                        const int32_t row = y * w->stride_height - w->top + ky * w->dilation_height;
                        const int32_t column = x * w->stride_width - w->left + kx * w->dilation_width;
                        const int8_t *k = l->weights + (ky * w->kernel_width + kx) * w->channels + first;
                        const int8_t *p = row < 0 || row >= w->height || column < 0 || column >= w->width
                                              ? l->outside
                                              : in + ((ptrdiff_t)row * w->width + column) * w->channels;

                        p += first;
                        for (c = 0; c < count; c++)
                            sum[c] += p[c] * k[c];
                    }
                for (c = 0; c < count; c++)
                    out[first + c] = clip(l->zero + scaled(sum[c], l->multiplier[first + c], l->shift[first + c]),
                                          l->low, l->high);
            }
}
#endif

#ifdef HAS_POOL_MAX
static void pool_max(const struct window *w, int32_t low, int32_t high, const int8_t *in, int8_t *out)
{
    int32_t y, x, c, ky, kx;

    for (y = 0; y < w->out_height; y++)
        for (x = 0; x < w->out_width; x++)
            for (c = 0; c < w->channels; c++, out++) {
                int32_t best = -128;

                for (ky = 0; ky < w->kernel_height; ky++)
                    for (kx = 0; kx < w->kernel_width; kx++) {
                        const int32_t row = y * w->stride_height - w->top + ky * w->dilation_height;
                        const int32_t column = x * w->stride_width - w->left + kx * w->dilation_width;

                        if (row >= 0 && row < w->height && column >= 0 && column < w->width) {
                            const int8_t v = in[((ptrdiff_t)row * w->width + column) * w->channels + c];

                            best = v > best ? v : best;
                        }
                    }
                *out = clip(best, low, high);
            }
}
#endif

#ifdef HAS_POOL_MEAN
/* The mean is multiplied by multiplier / 2^20; `divisor` 0 stands for the count of pixels under the window. */
static void pool_mean(const struct window *w, int32_t multiplier, int32_t divisor, int32_t in_zero, int32_t out_zero,
                      int32_t low, int32_t high, const int8_t *in, int8_t *out)
{
    int32_t y, x, c, ky, kx;

    for (y = 0; y < w->out_height; y++)
        for (x = 0; x < w->out_width; x++)
            for (c = 0; c < w->channels; c++, out++) {
                int64_t sum = 0;
                int32_t count = 0;

                for (ky = 0; ky < w->kernel_height; ky++)
                    for (kx = 0; kx < w->kernel_width; kx++) {
                        const int32_t row = y * w->stride_height - w->top + ky * w->dilation_height;
                        const int32_t column = x * w->stride_width - w->left + kx * w->dilation_width;

                        if (row >= 0 && row < w->height && column >= 0 && column < w->width) {
                            sum += in[((ptrdiff_t)row * w->width + column) * w->channels + c] - in_zero;
                            count++;
                        }
                    }
                count = divisor ? divisor : count;
                sum = sum * multiplier + ((int64_t)count << 19);
                /* Division towards minus infinity, as the shifts do elsewhere. */
                sum = sum / ((int64_t)count << 20) - (sum % ((int64_t)count << 20) < 0);
                *out = clip(out_zero + (int32_t)sum, low, high);
            }
}
#endif

#ifdef HAS_ADD
/* `cycle` is the size of b: all of a, or one pixel. Both multipliers are for the same shift. */
static void add(const int8_t *a, int32_t a_zero, int32_t a_multiplier, const int8_t *b, int32_t b_zero,
                int32_t b_multiplier, int32_t shift, int8_t *out, int32_t zero, int32_t size, int32_t cycle, int32_t low,
                int32_t high)
{
    int32_t i;

    for (i = 0; i < size; i++) {
        const int64_t sum = (int64_t)(a[i] - a_zero) * a_multiplier + (int64_t)(b[i % cycle] - b_zero) * b_multiplier;

        out[i] = clip(zero + scaled(sum, 1, shift), low, high);
    }
}
#endif

#ifdef HAS_MULTIPLY
static void multiply(const int8_t *a, int32_t a_zero, const int8_t *b, int32_t b_zero, int32_t multiplier, int32_t shift,
                     int8_t *out, int32_t zero, int32_t size, int32_t cycle, int32_t low, int32_t high)
{
    int32_t i;

    for (i = 0; i < size; i++)
        out[i] = clip(zero + scaled((a[i] - a_zero) * (b[i % cycle] - b_zero), multiplier, shift), low, high);
}
#endif

#ifdef HAS_ACTIVATE
/* `table[q + 128]` is the function's value. */
static void activate(const int8_t *table, const int8_t *in, int8_t *out, int32_t size)
{
    int32_t i;

    for (i = 0; i < size; i++)
        out[i] = table[in[i] + 128];
}
#endif
