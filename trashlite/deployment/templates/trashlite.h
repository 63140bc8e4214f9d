/* $name: classifies an RGB image of any size. C99, no heap, libc and libm only. Not re-entrant: one image at a time. */

#ifndef TRASHLITE_H
#define TRASHLITE_H

#include <stdint.h>

#define TRASHLITE_CLASSES $classes
#define TRASHLITE_HEIGHT $height /* pixels that the network sees */
#define TRASHLITE_WIDTH $width
#define TRASHLITE_MACS $macs           /* multiply-accumulate operations an image */
#define TRASHLITE_ARENA_BYTES $arena   /* of the activations */
#define TRASHLITE_TEMPERATURE ${temperature}f /* the logits are divided by it */
#define TRASHLITE_THRESHOLD ${threshold}f /* a largest probability below it means "unknown" */

#define TRASHLITE_UNKNOWN (-1)
#define TRASHLITE_BAD_IMAGE (-2)
#define TRASHLITE_MAX_SIDE 1000000

extern const char *const trashlite_class_names[TRASHLITE_CLASSES];

/* Resizes, classifies, and fills `probabilities` (TRASHLITE_CLASSES).

   rgb: height x width x 3 bytes, upright, row by row, no gaps.
   Returns the most probable class, or TRASHLITE_UNKNOWN, or TRASHLITE_BAD_IMAGE for no image or a side out of range. */
int trashlite_classify(const uint8_t *rgb, int width, int height, float *probabilities);

/* Both halves of it, for tests: an image to the network's pixels (TRASHLITE_HEIGHT x TRASHLITE_WIDTH x 3), turned where
   the network wants that, 0 or TRASHLITE_BAD_IMAGE; and those pixels to logits. */
int trashlite_resize(const uint8_t *rgb, int width, int height, uint8_t *pixels);
void trashlite_logits(const uint8_t *pixels, float *logits);

#endif
