/* Operators in float32. Activations lie as height x width x channels. */

typedef float value;

struct convolution {
    const float *weights; /* group, kernel row, kernel column, input channel, output channel */
    const float *bias;
    struct window window;
    int32_t groups;
    float low, high;
};

static float clip(float x, float low, float high)
{
    return x < low ? low : x > high ? high : x;
}

static void normalise(const uint8_t *pixels, float *out)
{
    int32_t i;

    for (i = 0; i < INPUT_HEIGHT * INPUT_WIDTH * 3; i++)
        out[i] = (pixels[i] / 255.0f - mean[i % 3]) / deviation[i % 3];
}

#ifdef HAS_CONVOLVE
/* BLOCK output channels, or fewer, of one output pixel. */
enum { BLOCK = 8 };

static void convolve_pixel(const struct convolution *l, const float *in, int32_t top, int32_t left, int32_t group,
                           int32_t first, float *out)
{
    const struct window *w = &l->window;
    const int32_t inputs = w->channels / l->groups, outputs = w->out_channels / l->groups;
    const float *weights = l->weights + (ptrdiff_t)group * w->kernel_height * w->kernel_width * inputs * outputs + first;
    float sum[BLOCK];
    int32_t ky, kx, c, j;

    memcpy(sum, l->bias + group * outputs + first, sizeof(float) * (size_t)(outputs < BLOCK ? outputs : BLOCK));
    for (ky = 0; ky < w->kernel_height; ky++)
        for (kx = 0; kx < w->kernel_width; kx++, weights += inputs * outputs) {
            const int32_t y = top + ky * w->dilation_height, x = left + kx * w->dilation_width;
            const float *p = in + ((ptrdiff_t)y * w->width + x) * w->channels + group * inputs;
            const float *k = weights;

            if (y < 0 || y >= w->height || x < 0 || x >= w->width)
                continue;
            if (outputs < BLOCK)
                for (c = 0; c < inputs; c++, k += outputs)
                    for (j = 0; j < outputs; j++)
                        sum[j] += p[c] * k[j];
            else
                for (c = 0; c < inputs; c++, k += outputs)
                    for (j = 0; j < BLOCK; j++)
                        sum[j] += p[c] * k[j];
        }
    for (j = 0; j < (outputs < BLOCK ? outputs : BLOCK); j++)
        out[group * outputs + first + j] = clip(sum[j], l->low, l->high);
}

static void convolve(const struct convolution *l, const float *in, float *out)
{
    const struct window *w = &l->window;
    const int32_t outputs = w->out_channels / l->groups;
    int32_t y, x, group, first;

    for (y = 0; y < w->out_height; y++)
        for (x = 0; x < w->out_width; x++, out += w->out_channels)
            for (group = 0; group < l->groups; group++)
                for (first = 0; first < outputs; first += BLOCK) {
                    /* The last block reaches back over the one before it, so that all are whole. */
                    const int32_t start = first + BLOCK <= outputs || outputs < BLOCK ? first : outputs - BLOCK;

                    convolve_pixel(l, in, y * w->stride_height - w->top, x * w->stride_width - w->left, group, start,
                                   out);
                }
}
#endif

#ifdef HAS_DEPTHWISE
/* Each channel alone; weights are kernel row, kernel column, channel. */
static void convolve_depthwise(const struct convolution *l, const float *in, float *out)
{
    const struct window *w = &l->window;
    int32_t y, x, ky, kx, c;

    for (y = 0; y < w->out_height; y++)
        for (x = 0; x < w->out_width; x++, out += w->out_channels) {
            memcpy(out, l->bias, sizeof(float) * (size_t)w->channels);
            for (ky = 0; ky < w->kernel_height; ky++)
                for (kx = 0; kx < w->kernel_width; kx++) {
                    const int32_t row = y * w->stride_height - w->top + ky * w->dilation_height;
                    const int32_t column = x * w->stride_width - w->left + kx * w->dilation_width;
                    const float *k = l->weights + (ky * w->kernel_width + kx) * w->channels;
                    const float *p = in + ((ptrdiff_t)row * w->width + column) * w->channels;

                    if (row < 0 || row >= w->height || column < 0 || column >= w->width)
                        continue;
                    for (c = 0; c < w->channels; c++)
                        out[c] += p[c] * k[c];
                }
            for (c = 0; c < w->channels; c++)
                out[c] = clip(out[c], l->low, l->high);
        }
}
#endif

#if defined HAS_POOL_MAX || defined HAS_POOL_MEAN
static void pool(const struct window *w, int32_t is_max, int32_t divisor, float low, float high, const float *in,
                 float *out)
{
    int32_t y, x, c, ky, kx;

    for (y = 0; y < w->out_height; y++)
        for (x = 0; x < w->out_width; x++)
            for (c = 0; c < w->channels; c++, out++) {
                float best = -FLT_MAX, sum = 0;
                int32_t count = 0;

                for (ky = 0; ky < w->kernel_height; ky++)
                    for (kx = 0; kx < w->kernel_width; kx++) {
                        const int32_t row = y * w->stride_height - w->top + ky * w->dilation_height;
                        const int32_t column = x * w->stride_width - w->left + kx * w->dilation_width;

                        if (row >= 0 && row < w->height && column >= 0 && column < w->width) {
                            const float v = in[((ptrdiff_t)row * w->width + column) * w->channels + c];

                            best = v > best ? v : best;
                            sum += v;
                            count++;
                        }
                    }
                *out = clip(is_max ? best : sum / (float)(divisor ? divisor : count), low, high);
            }
}
#endif

#ifdef HAS_ADD
/* `cycle` is the size of b: all of a, or one pixel. */
static void add(const float *a, const float *b, float *out, int32_t size, int32_t cycle, float low, float high)
{
    int32_t i;

    for (i = 0; i < size; i++)
        out[i] = clip(a[i] + b[i % cycle], low, high);
}
#endif

#ifdef HAS_MULTIPLY
static void multiply(const float *a, const float *b, float *out, int32_t size, int32_t cycle, float low, float high)
{
    int32_t i;

    for (i = 0; i < size; i++)
        out[i] = clip(a[i] * b[i % cycle], low, high);
}
#endif

#ifdef HAS_ACTIVATE
enum function { AFFINE, GELU, HARDSIGMOID, HARDSWISH, LEAKY_RELU, SIGMOID, SILU, TANH };

static float activated(enum function f, float a, float b, float x)
{
    switch (f) {
    case AFFINE: return a * x + b;
    case GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case HARDSIGMOID: return clip(x / 6.0f + 0.5f, 0.0f, 1.0f);
    case HARDSWISH: return x * clip(x / 6.0f + 0.5f, 0.0f, 1.0f);
    case LEAKY_RELU: return x < 0.0f ? a * x : x;
    case SIGMOID: return 1.0f / (1.0f + expf(-x));
    case SILU: return x / (1.0f + expf(-x));
    case TANH: return tanhf(x);
    }
    return x;
}

static void activate(enum function f, float a, float b, const float *in, float *out, int32_t size, float low,
                     float high)
{
    int32_t i;

    for (i = 0; i < size; i++)
        out[i] = clip(activated(f, a, b, in[i]), low, high);
}
#endif
