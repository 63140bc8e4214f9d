int trashlite_resize(const uint8_t *rgb, int width, int height, uint8_t *out)
{
    if (rgb == NULL || width < 1 || height < 1 || width > TRASHLITE_MAX_SIDE || height > TRASHLITE_MAX_SIDE)
        return TRASHLITE_BAD_IMAGE;
    resize_to_input(rgb, width, height, out);
    return 0;
}

int trashlite_classify(const uint8_t *rgb, int width, int height, float *probabilities)
{
    float largest, sum = 0.0f;
    int best = 0, i;

    if (trashlite_resize(rgb, width, height, pixels) != 0)
        return TRASHLITE_BAD_IMAGE;
    trashlite_logits(pixels, probabilities);
    for (i = 1; i < TRASHLITE_CLASSES; i++)
        if (probabilities[i] > probabilities[best])
            best = i;
    largest = probabilities[best];
    for (i = 0; i < TRASHLITE_CLASSES; i++) {
        probabilities[i] = expf((probabilities[i] - largest) / TRASHLITE_TEMPERATURE);
        sum += probabilities[i];
    }
    for (i = 0; i < TRASHLITE_CLASSES; i++)
        probabilities[i] /= sum;
    return probabilities[best] < TRASHLITE_THRESHOLD ? TRASHLITE_UNKNOWN : best;
}
