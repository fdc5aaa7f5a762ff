"""Colors: an embedded ICC profile in, the way from its color space to sRGB out.

Only the small crops are converted, not the whole picture. Called by `dsapi.prediction.picture`.
"""

from io import BytesIO

from PIL import Image, ImageCms

# The header of a profile names its color space (ICC.1:2022, table 19).
_SPACES = {"L": b"GRAY", "RGB": b"RGB ", "CMYK": b"CMYK"}
# LittleCMS refuses more.
_MAX_TAGS = 100


def read_conversion(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Make the conversion of a picture's colors to sRGB.

    Args:
        profile: ICC profile, possibly empty.
        mode: of the picture: ``L``, ``RGB`` or ``CMYK``.

    Returns:
        The conversion; ``None`` if the profile is missing, corrupt or not for this kind of
        picture. It is then shown as if it had none, as by every viewer.
    """
    if profile[16:20] != _SPACES.get(mode):
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(_hide_steps(profile)))
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(source))
        if intent == ImageCms.Intent.ABSOLUTE_COLORIMETRIC:
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC  # white stays white
        target = ImageCms.createProfile("sRGB")
        return ImageCms.buildTransform(source, target, mode, "RGB", intent)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _hide_steps(profile: bytes) -> bytes:
    """Rename the tags D2B0 to D2B3 (ICC.1, multiProcessElementsType) beside the simpler ones.

    They are of any number of steps, all of which LittleCMS takes for tens of thousands of colors
    before it converts a pixel: 16 kB took a second.
    """
    count = min(int.from_bytes(profile[128:132], "big"), _MAX_TAGS)
    hidden = bytearray(profile)
    for at in range(132, 132 + 12 * count, 12):
        if hidden[at : at + 3] == b"D2B":
            hidden[at : at + 3] = b"d2b"
    return bytes(hidden)


def convert_to_srgb(
    image: Image.Image, conversion: ImageCms.ImageCmsTransform | None
) -> Image.Image:
    """Convert an image to RGB as a screen shows it.

    CMYK without a profile is taken as screens do: ``(1 - ink) × (1 - black)``.
    """
    if image.mode == "RGBX":
        image = image.convert("RGB")
    if conversion is not None:
        converted = ImageCms.applyTransform(image, conversion)
        if converted is not None:
            return converted
    return image if image.mode == "RGB" else image.convert("RGB")
