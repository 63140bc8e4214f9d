/* Resize of an RGB image by Pillow's arithmetic, in a few rows of memory: BILINEAR with reducing_gap=2, or BOX. */

#ifdef KERNEL_BOX
enum { TAPS = 1, ROWS = 1 }; /* all pixels under the kernel weigh alike, and no two rows share one */
#else
enum { TAPS = 9, ROWS = 9 }; /* a scale below 4 reaches 4 pixels to both sides */
#endif

/* The pixels that one new pixel is made of, with their shares in units of 2^-22. */
struct taps {
    int32_t first, count, share[TAPS];
};

/* One direction: `size` pixels become `out`, after `factor` of them at a time were averaged to `count`. */
struct axis {
    int32_t size, out, factor, count;
};

static struct taps across[INPUT_WIDTH];
static uint8_t rows[ROWS][3 * INPUT_WIDTH];

static struct axis axis_of(int32_t size, int32_t out)
{
    struct axis a = {size, out, 1, size};

#ifndef KERNEL_BOX
    if (size / out / 2 > 1)
        a.factor = size / out / 2;
    a.count = (size + a.factor - 1) / a.factor;
#endif
    return a;
}

static double kernel(double x)
{
#ifdef KERNEL_BOX
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
#else
    x = x < 0.0 ? -x : x;
    return x < 1.0 ? 1.0 - x : 0.0;
#endif
}

static struct taps taps_of(const struct axis *a, int32_t x)
{
    const double scale = (double)(float)((double)a->size / a->factor) / a->out, wide = scale < 1.0 ? 1.0 : scale;
#ifdef KERNEL_BOX
    const double support = 0.5 * wide;
#else
    const double support = wide;
#endif
    const double centre = (x + 0.5) * scale;
    struct taps t = {0, 0, {0}};
    int32_t end = (int32_t)(centre + support + 0.5), i;
    double total = 0.0;

    if (centre - support + 0.5 > 0.0)
        t.first = (int32_t)(centre - support + 0.5);
    if (end > a->count)
        end = a->count;
#ifdef KERNEL_BOX
    while (kernel((t.first - centre + 0.5) * (1.0 / wide)) == 0.0)
        t.first++;
    while (kernel((end - 1 - centre + 0.5) * (1.0 / wide)) == 0.0)
        end--;
    total = end - t.first;
#else
    for (i = t.first; i < end; i++)
        total += kernel((i - centre + 0.5) * (1.0 / wide));
#endif
    t.count = end - t.first;
    for (i = 0; i < t.count && i < TAPS; i++)
        t.share[i] = (int32_t)(0.5 + kernel((i + t.first - centre + 0.5) * (1.0 / wide)) / total * (1 << 22));
    return t;
}

static uint8_t rounded(uint32_t sum)
{
    sum = (sum + (1 << 21)) >> 22;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* A view of the caller's pixels: turned images only step through them in another order. */
struct view {
    const uint8_t *origin;
    ptrdiff_t right, down; /* bytes from a pixel to its neighbour */
};

/* Pixel (`x`, `y`) of the image after averaging. */
static void average(const struct view *v, const struct axis *h, const struct axis *w, int32_t y, int32_t x,
                    uint8_t *out)
{
    const int32_t top = y * h->factor, left = x * w->factor;
    const int32_t height = h->size - top < h->factor ? h->size - top : h->factor;
    const int32_t width = w->size - left < w->factor ? w->size - left : w->factor;
    const uint32_t pixels = (uint32_t)(height * width);
    const uint32_t inverse = (uint32_t)(4294967296.0f / (float)(pixels << 8));
    uint32_t sum[3] = {pixels / 2, pixels / 2, pixels / 2};
    int32_t i, j, c;

    for (j = 0; j < height; j++) {
        const uint8_t *p = v->origin + v->down * (top + j) + v->right * left;

        for (i = 0; i < width; i++, p += v->right)
            for (c = 0; c < 3; c++)
                sum[c] += p[c];
    }
    for (c = 0; c < 3; c++)
        out[c] = (uint8_t)(sum[c] * inverse >> 24);
}

#ifndef KERNEL_BOX
static uint8_t averaged[4 * 3 * INPUT_WIDTH];
#endif

/* Row `y` at its new width, into its place among the last rows. */
static void shrink_row(const struct view *v, const struct axis *h, const struct axis *w, int32_t y)
{
    const uint8_t *row = v->origin + v->down * y;
    uint8_t *out = rows[y % ROWS];
    ptrdiff_t right = v->right;
    int32_t x, i, c;

#ifdef KERNEL_BOX
    (void)h;
#else
    if (h->factor > 1 || w->factor > 1) {
        for (x = 0; x < w->count; x++)
            average(v, h, w, y, x, averaged + 3 * x);
        row = averaged;
        right = 3;
    }
#endif
    for (x = 0; x < w->out; x++) {
        const struct taps *t = &across[x];
        const uint8_t *p = row + right * t->first;
        uint32_t sum[3] = {0, 0, 0};

        for (i = 0; i < t->count; i++, p += right)
            for (c = 0; c < 3; c++)
                sum[c] += TAPS == 1 ? p[c] : p[c] * (uint32_t)t->share[i % TAPS];
        for (c = 0; c < 3; c++)
            out[3 * x + c] = rounded(TAPS == 1 ? sum[c] * (uint32_t)t->share[0] : sum[c]);
    }
}

/* Columns first, then what they gave: of a single new pixel at (`x`, `y`), the latter's `t` given. */
static void shrink_columns_first(const struct view *v, const struct axis *h, const struct axis *w, const struct taps *t,
                                 int32_t x, uint8_t *out)
{
    const struct taps *s = &across[x];
    uint32_t total[3] = {0, 0, 0};
    int32_t i, j, c;

    for (i = 0; i < s->count; i++) {
        uint32_t sum[3] = {0, 0, 0};

        for (j = 0; j < t->count; j++) {
            uint8_t p[3];

            average(v, h, w, t->first + j, s->first + i, p);
            for (c = 0; c < 3; c++)
                sum[c] += TAPS == 1 ? p[c] : p[c] * (uint32_t)t->share[j % TAPS];
        }
        for (c = 0; c < 3; c++) {
            const uint32_t value = rounded(TAPS == 1 ? sum[c] * (uint32_t)t->share[0] : sum[c]);

            total[c] += TAPS == 1 ? value : value * (uint32_t)s->share[i % TAPS];
        }
    }
    for (c = 0; c < 3; c++)
        out[c] = rounded(TAPS == 1 ? total[c] * (uint32_t)s->share[0] : total[c]);
}

/* Fills `height` x `width` pixels of an image `INPUT_WIDTH` pixels wide, whose upper left one is `out`. */
static void resize(const struct view *v, int32_t source_height, int32_t source_width, int32_t height, int32_t width,
                   uint8_t *out)
{
    const struct axis h = axis_of(source_height, height), w = axis_of(source_width, width);
    int32_t y, x, i, ready = 0;

    for (x = 0; x < width; x++)
        across[x] = taps_of(&w, x);
    /* Pillow begins with the columns where it takes that for less work; each step is rounded, so the order shows. */
    if (h.count > height && 2 * (w.count - width) < h.count - height) {
        for (y = 0; y < height; y++) {
            const struct taps t = taps_of(&h, y);

            for (x = 0; x < width; x++)
                shrink_columns_first(v, &h, &w, &t, x, out + 3 * (INPUT_WIDTH * y + x));
        }
        return;
    }
    for (y = 0; y < height; y++) {
        const struct taps t = taps_of(&h, y);
        uint32_t sum[3 * INPUT_WIDTH];

        memset(sum, 0, sizeof sum);
        for (i = 0; i < t.count; i++) {
            const int32_t from = t.first + i;

            for (; ready <= from; ready++)
                shrink_row(v, &h, &w, ready);
            for (x = 0; x < 3 * width; x++)
                sum[x] += TAPS == 1 ? rows[from % ROWS][x] : rows[from % ROWS][x] * (uint32_t)t.share[i % TAPS];
        }
        for (x = 0; x < 3 * width; x++)
            out[3 * INPUT_WIDTH * y + x] = rounded(TAPS == 1 ? sum[x] * (uint32_t)t.share[0] : sum[x]);
    }
}

#ifdef MODE_LETTERBOX
/* Side of the inner image, rounded to even as Python does. */
static int32_t inner_side(int32_t side, double scale)
{
    const double exact = side * scale;
    int32_t whole = (int32_t)exact;

    if (exact - whole > 0.5 || (exact - whole == 0.5 && whole % 2 == 1))
        whole++;
    return whole < 1 ? 1 : whole;
}
#endif

static void resize_to_input(const uint8_t *rgb, int32_t width, int32_t height, uint8_t *pixels)
{
    struct view v = {rgb, 3, 3 * (ptrdiff_t)width};
#ifdef MODE_LETTERBOX
    const double right = (double)INPUT_WIDTH / width, down = (double)INPUT_HEIGHT / height;
    const double scale = right < down ? right : down;
    const int32_t inner_width = inner_side(width, scale), inner_height = inner_side(height, scale);
    const int32_t left = (INPUT_WIDTH - inner_width) / 2, top = (INPUT_HEIGHT - inner_height) / 2;

    memset(pixels, 114, 3 * INPUT_WIDTH * INPUT_HEIGHT);
    resize(&v, height, width, inner_height, inner_width, pixels + 3 * (INPUT_WIDTH * top + left));
#else
#ifdef MODE_LANDSCAPE
    if (height > width) { /* turned by 90 degrees against the clock */
        const int32_t side = width;

        v.origin = rgb + 3 * (ptrdiff_t)(width - 1);
        v.right = 3 * (ptrdiff_t)width;
        v.down = -3;
        width = height;
        height = side;
    }
#endif
    resize(&v, height, width, INPUT_HEIGHT, INPUT_WIDTH, pixels);
#endif
}
