#ifdef HAS_GATHER
/* Some channels of a picture become some of another: `channels` holds pairs (from, to). */
static void gather(const value *in, int32_t in_channels, const uint16_t *channels, int32_t count, value *out,
                   int32_t out_channels, int32_t pixels)
{
    int32_t i, j;

    for (i = 0; i < pixels; i++, in += in_channels, out += out_channels)
        for (j = 0; j < count; j++)
            out[channels[2 * j + 1]] = in[channels[2 * j]];
}
#endif
