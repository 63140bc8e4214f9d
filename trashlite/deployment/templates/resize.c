/* Resize of an RGB image as Pillow does it (Image.resize with reducing_gap=2), in integers and a few rows of memory. */

/* One direction: `size` source pixels become `out`, after `factor` of them at a time were averaged to `count`. */
struct axis {
    int32_t size, out, factor, count;
};

static struct axis axis_of(int32_t size, int32_t out)
{
    struct axis a = {size, out, size / out / 2, 0};

    if (a.factor < 1)
        a.factor = 1;
    a.count = (size + a.factor - 1) / a.factor;
    return a;
}

/* Distances are in units of 1 / (2 factor out) averaged pixels, so that all of them are whole. */
static int32_t reach(const struct axis *a)
{
    return 2 * (a->size > a->factor * a->out ? a->size : a->factor * a->out);
}

static int32_t distance(const struct axis *a, int32_t pixel, int32_t x)
{
    return (2 * pixel + 1) * a->factor * a->out - (2 * x + 1) * a->size;
}

static int32_t first_pixel(const struct axis *a, int32_t x)
{
    int32_t pixel = ((2 * x + 1) * a->size - reach(a) - a->factor * a->out) / (2 * a->factor * a->out);

    if (pixel < 0)
        pixel = 0;
    while (distance(a, pixel, x) <= -reach(a))
        pixel++;
    return pixel;
}

static uint32_t weight(int32_t away, int32_t support)
{
#ifdef KERNEL_BOX
    return 2 * away > -support && 2 * away <= support;
#else
    return (uint32_t)(support - (away < 0 ? -away : away));
#endif
}

/* A view of the caller's pixels: turned images only step through them in another order. */
struct view {
    const uint8_t *origin;
    ptrdiff_t right, down; /* bytes from a pixel to its neighbour */
};

/* Row `y` of the image after averaging, RGB. */
static void average_row(const struct view *v, const struct axis *h, const struct axis *w, int32_t y, uint8_t *row)
{
    const int32_t top = y * h->factor;
    const int32_t height = h->size - top < h->factor ? h->size - top : h->factor;
    int32_t x, i, j, c;

    for (x = 0; x < w->count; x++) {
        const int32_t left = x * w->factor;
        const int32_t width = w->size - left < w->factor ? w->size - left : w->factor;
        const uint32_t pixels = (uint32_t)(height * width);
        uint32_t sum[3] = {0, 0, 0};

        for (j = 0; j < height; j++) {
            const uint8_t *p = v->origin + v->down * (top + j) + v->right * left;

            for (i = 0; i < width; i++, p += v->right)
                for (c = 0; c < 3; c++)
                    sum[c] += p[c];
        }
        for (c = 0; c < 3; c++)
            row[3 * x + c] = (uint8_t)((sum[c] + pixels / 2) / pixels);
    }
}

static void shrink_row(const struct axis *w, const uint8_t *row, uint8_t *out)
{
    const int32_t support = reach(w), step = 2 * w->factor * w->out;
    int32_t x, c;

    for (x = 0; x < w->out; x++) {
        int32_t pixel = first_pixel(w, x), away = distance(w, pixel, x);
        uint32_t sum[3] = {0, 0, 0}, total = 0;

        for (; pixel < w->count && away < support; pixel++, away += step) {
            const uint32_t share = weight(away, support);

            total += share;
            for (c = 0; c < 3; c++)
                sum[c] += share * row[3 * pixel + c];
        }
        for (c = 0; c < 3; c++)
            out[3 * x + c] = (uint8_t)((sum[c] + total / 2) / total);
    }
}

/* Fills `height` x `width` pixels of an image `INPUT_WIDTH` pixels wide, whose upper left one is `out`.
   `scratch` holds one averaged row and the last ROWS shrunk ones. */
static void resize(const struct view *v, int32_t source_height, int32_t source_width, int32_t height, int32_t width,
                   uint8_t *out, uint8_t *scratch)
{
    const struct axis h = axis_of(source_height, height), w = axis_of(source_width, width);
    const int32_t support = reach(&h), step = 2 * h.factor * h.out;
    uint8_t *const rows = scratch + 3 * 4 * INPUT_WIDTH;
    int32_t y, x, ready = 0;

    for (y = 0; y < height; y++) {
        const int32_t first = first_pixel(&h, y);
        int32_t pixel, away;

        for (pixel = first, away = distance(&h, first, y); pixel < h.count && away < support; pixel++, away += step)
            for (; ready <= pixel; ready++) {
                average_row(v, &h, &w, ready, scratch);
                shrink_row(&w, scratch, rows + ready % ROWS * 3 * INPUT_WIDTH);
            }
        for (x = 0; x < 3 * width; x++) {
            uint32_t sum = 0, total = 0;

            for (pixel = first, away = distance(&h, first, y); pixel < h.count && away < support;
                 pixel++, away += step) {
                const uint32_t share = weight(away, support);

                total += share;
                sum += share * rows[pixel % ROWS * 3 * INPUT_WIDTH + x];
            }
            out[3 * INPUT_WIDTH * y + x] = (uint8_t)((sum + total / 2) / total);
        }
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

static void resize_to_input(const uint8_t *rgb, int32_t width, int32_t height, uint8_t *pixels, uint8_t *scratch)
{
    struct view v = {rgb, 3, 3 * (ptrdiff_t)width};
#ifdef MODE_LETTERBOX
    const double across = (double)INPUT_WIDTH / width, down = (double)INPUT_HEIGHT / height;
    const double scale = across < down ? across : down;
    const int32_t inner_width = inner_side(width, scale), inner_height = inner_side(height, scale);
    const int32_t left = (INPUT_WIDTH - inner_width) / 2, top = (INPUT_HEIGHT - inner_height) / 2;

    memset(pixels, PADDING, 3 * INPUT_WIDTH * INPUT_HEIGHT);
    resize(&v, height, width, inner_height, inner_width, pixels + 3 * (INPUT_WIDTH * top + left), scratch);
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
    resize(&v, height, width, INPUT_HEIGHT, INPUT_WIDTH, pixels, scratch);
#endif
}
