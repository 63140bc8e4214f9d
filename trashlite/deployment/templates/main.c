/* Example: classify a binary PPM image, or time it.   ./classify image.ppm [repetitions] */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "trashlite.h"

/* The next number of a PPM header, past white space and comments. */
static int header_number(FILE *file)
{
    int c = fgetc(file), number = 0;

    while (c == '#' || c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        if (c == '#')
            while (c != '\n' && c != EOF)
                c = fgetc(file);
        else
            c = fgetc(file);
    }
    if (c < '0' || c > '9')
        return -1;
    for (; c >= '0' && c <= '9' && number < 100000000; c = fgetc(file))
        number = 10 * number + c - '0';
    return number;
}

static uint8_t *read_ppm(const char *path, int *width, int *height)
{
    FILE *file = fopen(path, "rb");
    uint8_t *rgb = NULL;
    size_t bytes;

    if (file == NULL)
        return NULL;
    if (fgetc(file) == 'P' && fgetc(file) == '6') {
        *width = header_number(file);
        *height = header_number(file);
        if (header_number(file) == 255 && *width > 0 && *height > 0 && *width <= TRASHLITE_MAX_SIDE &&
            *height <= TRASHLITE_MAX_SIDE && (size_t)*height <= SIZE_MAX / 3 / (size_t)*width) {
            bytes = (size_t)*width * (size_t)*height * 3;
            rgb = malloc(bytes);
            if (rgb != NULL && fread(rgb, 1, bytes, file) != bytes) {
                free(rgb);
                rgb = NULL;
            }
        }
    }
    fclose(file);
    return rgb;
}

int main(int argc, char **argv)
{
    float probabilities[TRASHLITE_CLASSES];
    int width, height, class_number = TRASHLITE_UNKNOWN, i;
    const int repetitions = argc > 2 ? atoi(argv[2]) : 1;
    uint8_t *rgb;
    clock_t start;

    if (argc < 2 || argc > 3 || repetitions < 1) {
        fprintf(stderr, "usage: %s image.ppm [repetitions]\n", argv[0]);
        return 1;
    }
    rgb = read_ppm(argv[1], &width, &height);
    if (rgb == NULL) {
        fprintf(stderr, "%s cannot be read: a binary PPM (P6) of 8 bits is wanted\n", argv[1]);
        return 1;
    }
    start = clock();
    for (i = 0; i < repetitions; i++)
        class_number = trashlite_classify(rgb, width, height, probabilities);
    printf("%s\n", class_number < 0 ? "unknown" : trashlite_class_names[class_number]);
    for (i = 0; i < TRASHLITE_CLASSES; i++)
        printf("%.6f %s\n", (double)probabilities[i], trashlite_class_names[i]);
    if (argc > 2)
        printf("%.4f ms an image\n", 1e3 * (double)(clock() - start) / CLOCKS_PER_SEC / repetitions);
    free(rgb);
    return 0;
}
