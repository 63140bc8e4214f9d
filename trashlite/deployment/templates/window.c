/* Sizes of what goes in and out of a layer, and the window that slides over it; `top` and `left` are padding. */
struct window {
    int16_t height, width, channels, out_height, out_width, out_channels;
    int16_t kernel_height, kernel_width, stride_height, stride_width, top, left, dilation_height, dilation_width;
};
