// A picture's file, or a frame, as pixels.

// Upright by its EXIF orientation, colour profiles ignored, transparency laid on white.
export async function pixels(source) {
  const bitmap =
    source instanceof Blob
      ? await createImageBitmap(source, { colorSpaceConversion: "none" }).catch(() => {
          throw new Error("is no picture that this browser reads");
        })
      : source;
  const { width, height } = bitmap;
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff";
  context.fillRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}
