"""The bytes of one picture file → its pixels, as graph operations.

The size is read from the file's header, and refused there, before anything is decoded. Whatever is
wrong with a file raises `tf.errors.InvalidArgumentError` when the operations run.
"""

import tensorflow as tf

_MAX_SEGMENTS = 1024  # of a JPEG before its frame header, or jumps over a GIF's blocks
_MAX_EXTENSIONS = 32  # of a GIF before its first frame
_MAX_SCANS = 128  # of a progressive JPEG; each costs a pass over all pixels
_BLOCKS_AT_ONCE = 4096


def read(encoded, max_pixels):
    """Decodes one picture.

    Args:
        encoded: string scalar, the bytes of a JPEG, PNG, GIF or BMP file, known by their beginning.
        max_pixels: int, the most pixels; a file that announces more is not decoded.

    Returns:
        A tuple of uint8 (height, width, 3), RGB, and int32 scalar, the orientation of EXIF: 1 if
        upright, as it is of all but JPEG files.

    Raises:
        tf.errors.InvalidArgumentError: if the file is of another format, damaged, incomplete or
            too large.

    Example:
        >>> encoded = tf.io.encode_png(tf.zeros([2, 5, 3], tf.uint8))
        >>> pixels, orientation = read(encoded, 10)
        >>> pixels.shape, int(orientation)
        (TensorShape([2, 5, 3]), 1)
    """
    data = tf.io.decode_raw(encoded, tf.uint8)
    formats = {
        b"\xff\xd8\xff": _jpeg,
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR": _png,
        b"GIF8": _gif,
        b"BM": _bmp,
    }
    begins = [tf.strings.substr(encoded, 0, len(magic)) == magic for magic in formats]
    branches = [
        lambda reader=reader: reader(encoded, data, max_pixels) for reader in formats.values()
    ]
    known = _require(tf.reduce_any(begins), tf.argmax(tf.stack(begins), output_type=tf.int32))
    return tf.switch_case(known, branches)


def _require(condition, value):
    """Gives the value if the condition holds, and raises otherwise."""
    with tf.control_dependencies([tf.debugging.Assert(condition, ["not a readable picture"])]):
        return tf.identity(value)


def _small_enough(encoded, width, height, max_pixels):
    """Gives the bytes if the size is one to decode."""
    sides = (width > 0) & (height > 0) & (width <= max_pixels) & (height <= max_pixels)
    return _require(sides & (width * height <= max_pixels), encoded)


def _bytes(values):
    """A constant uint8 tensor."""
    return tf.constant(tuple(values), tf.uint8)


def _integer(data, at, size, *, big):
    """The unsigned integer of `size` bytes at a place, int64; raises beyond the end."""
    digits = tf.ensure_shape(tf.cast(data[at : at + size], tf.int64), [size])
    powers = [256**power for power in range(size)]
    return tf.reduce_sum(digits * tf.constant(powers[::-1] if big else powers, tf.int64))


def _jpeg(encoded, data, max_pixels):
    """Reads baseline and progressive JPEGs, grey, RGB or CMYK."""
    frame, exif = _jpeg_frame(data)
    height, width = (_integer(data, frame + offset, 2, big=True) for offset in (5, 7))
    scans = tf.math.count_nonzero((data[frame:-1] == 0xFF) & (data[frame + 1 :] == 0xDA))
    encoded = _require(scans <= _MAX_SCANS, _small_enough(encoded, width, height, max_pixels))
    pixels = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    upright = tf.constant(1)
    return pixels, tf.cond(exif > 0, lambda: _orientation(data[exif:]), lambda: upright)


def _jpeg_frame(data):
    """Places of a JPEG's frame header and of its EXIF data (0 for none): int64 scalars."""
    alone, frames = {0x01, *range(0xD0, 0xD8)}, set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
    forbidden = {0x00, 0xD8, 0xD9, 0xDA}
    is_frame, is_alone, is_forbidden = (
        tf.constant([marker in markers for marker in range(256)])
        for markers in (frames, alone, forbidden)
    )

    def before_frame(at, _):
        return ~tf.gather(is_frame, tf.cast(data[at + 1], tf.int32))

    def skip(at, exif):
        marker = data[at + 1]
        kind = tf.cast(marker, tf.int32)
        at = _require((data[at] == 0xFF) & ~tf.gather(is_forbidden, kind), at)
        is_exif = (marker == 0xE1) & tf.reduce_all(data[at + 4 : at + 10] == _bytes(b"Exif\0\0"))
        exif = tf.where((exif == 0) & is_exif, at + 10, exif)
        length = tf.cond(
            tf.gather(is_alone, kind) | (marker == 0xFF),
            lambda: tf.where(marker == 0xFF, tf.constant(1, tf.int64), 2),  # 0xFF may be repeated
            lambda: 2 + _integer(data, at + 2, 2, big=True),
        )
        return at + length, exif

    start = (tf.constant(2, tf.int64), tf.constant(0, tf.int64))
    at, exif = tf.while_loop(before_frame, skip, start, maximum_iterations=_MAX_SEGMENTS)
    return _require((data[at] == 0xFF) & ~before_frame(at, exif), at), exif


def _orientation(tiff):
    """The orientation that EXIF data name, int32 in 1 … 8; 1 if they are damaged or name none."""
    tiff = tf.concat([tiff[:65536], tf.zeros([16], tf.uint8)], 0)
    big = tf.reduce_all(tiff[:2] == _bytes(b"MM"))
    size = tf.size(tiff, tf.int64)

    def number(at, length):
        digits = tf.ensure_shape(tiff[at : at + length], [length])
        return _integer(tf.cond(big, lambda: digits[::-1], lambda: digits), 0, length, big=False)

    directory = tf.minimum(number(4, 4), size - 2)
    entries = tiff[directory + 2 : directory + 2 + 12 * number(directory, 2)]
    entries = tf.reshape(entries[: tf.size(entries) // 12 * 12], [-1, 12])
    tag, value = tf.cast(entries[:, :2], tf.int32), tf.cast(entries[:, 8:10], tf.int32)
    tag, value = (
        tf.where(big, pair[:, 0] * 256 + pair[:, 1], pair[:, 0] + pair[:, 1] * 256)
        for pair in (tag, value)
    )
    named = tf.concat([value[(tag == 0x0112) & (value >= 1) & (value <= 8)], [1]], 0)
    return named[0]


def _png(encoded, data, max_pixels):
    """Reads PNGs of any kind; what is transparent shows white."""
    width, height = (_integer(data, at, 4, big=True) for at in (16, 20))
    encoded = _small_enough(encoded, width, height, max_pixels)
    pixels = tf.io.decode_png(encoded, channels=4)
    colours, alpha = pixels[..., :3], pixels[..., 3:]

    def on_white():
        darkness = tf.cast(255 - colours, tf.uint16) * tf.cast(alpha, tf.uint16) + 127
        return 255 - tf.cast(darkness // 255, tf.uint8)

    transparent = _png_has_alpha(data) & tf.reduce_any(alpha < 255)
    return tf.cond(transparent, on_white, lambda: colours), tf.constant(1)


def _png_has_alpha(data):
    """Whether a PNG says what is transparent.

    If it does not, the decoder makes up an alpha, wrongly where a pixel has less than 8 bits.
    """

    def before_pixels(at, _):
        return _integer(data, at + 4, 4, big=True) != int.from_bytes(b"IDAT")

    def skip(at, found):
        named = _integer(data, at + 4, 4, big=True) == int.from_bytes(b"tRNS")
        return at + 12 + _integer(data, at, 4, big=True), found | named

    start = (tf.constant(8, tf.int64), (data[25] == 4) | (data[25] == 6))
    at, found = tf.while_loop(before_pixels, skip, start, maximum_iterations=_MAX_SEGMENTS)
    return _require(~before_pixels(at, found), found)


def _gif(encoded, data, max_pixels):
    """Reads the first frame of a GIF; what is transparent shows white.

    The decoder would read all frames, whatever their sizes: it gets a file made of the first alone,
    without what says how to place and to show it.
    """
    packed = tf.cast(data[10], tf.int64)
    frame, transparent = _gif_frame(data, 13 + _palette_bytes(packed))
    width, height = (_integer(data, frame + offset, 2, big=False) for offset in (5, 7))
    encoded = _small_enough(encoded, width, height, max_pixels)
    own = _palette_bytes(tf.cast(data[frame + 9], tf.int64))
    end = _after_blocks(data, frame + 10 + own + 1)

    def piece(start, stop):
        return _piece(encoded, start, stop)

    size = piece(frame + 5, frame + 9)
    header = tf.strings.join([piece(0, 6), size, piece(10, 13)])
    image = tf.strings.join([b",\0\0\0\0", size, piece(frame + 9, frame + 10)])
    palettes = [
        _whitened(piece(13, 13 + _palette_bytes(packed)), transparent),
        _whitened(piece(frame + 10, frame + 10 + own), transparent),
    ]
    alone = [header, palettes[0], image, palettes[1], piece(frame + 10 + own, end), b";"]
    pixels = tf.io.decode_gif(tf.strings.join(alone))
    return pixels[0], tf.constant(1)


def _piece(text, start, stop):
    """The bytes of a string from one place to another."""
    start = tf.cast(start, tf.int64)
    return tf.strings.substr(text, start, stop - start)


def _palette_bytes(packed):
    """How long a palette is, from the byte that says whether there is one; int64."""
    return tf.where(
        packed >= 128, 6 * tf.bitwise.left_shift(tf.constant(1, tf.int64), packed % 8), 0
    )


def _whitened(palette, index):
    """A palette, as a string, in which one colour has become white; index -1 for none."""
    length = tf.cast(tf.strings.length(palette), tf.int64)

    def replaced():  # within the branch: beyond the palette there is nothing to cut
        before, after = _piece(palette, 0, 3 * index), _piece(palette, 3 * index + 3, length)
        return tf.strings.join([before, b"\xff\xff\xff", after])

    inside = (index >= 0) & (3 * index + 3 <= length)
    return tf.cond(inside, replaced, lambda: palette)


def _gif_frame(data, start):
    """Places of a GIF's first frame, and the palette index that is transparent (-1 for none)."""

    def at_extension(at, _):
        return data[at] == 0x21

    def skip(at, transparent):
        control = (data[at + 1] == 0xF9) & (data[at + 3] % 2 == 1)
        transparent = tf.where(control, tf.cast(data[at + 6], tf.int64), transparent)
        return _after_blocks(data, at + 2), transparent

    at, transparent = tf.while_loop(
        at_extension,
        skip,
        (start, tf.constant(-1, tf.int64)),
        maximum_iterations=_MAX_EXTENSIONS,
    )
    return _require(data[at] == 0x2C, at), transparent


def _after_blocks(data, at):
    """The place behind a GIF's chain of blocks; a run of blocks of one length is one jump."""

    def jump(at):
        stride = tf.cast(data[at], tf.int64) + 1
        fit = tf.minimum((tf.size(data, tf.int64) - 1 - at) // stride + 1, _BLOCKS_AT_ONCE)
        same = tf.gather(data, at + stride * tf.range(fit)) == data[at]
        run = tf.reduce_sum(tf.math.cumprod(tf.cast(same, tf.int64)))
        return (at + stride * run,)

    (at,) = tf.while_loop(lambda at: data[at] != 0, jump, (at,), maximum_iterations=_MAX_SEGMENTS)
    return _require(data[at] == 0, at + 1)


def _bmp(encoded, data, max_pixels):
    """Reads BMPs that are not compressed, of 1, 4, 8, 24 or 32 bits; a fourth channel is ignored.

    TensorFlow's own decoder takes the indices of a palette for greys.
    """
    start, header, width, height = (_integer(data, at, 4, big=False) for at in (10, 14, 18, 22))
    flipped = height < 2**31  # rows go up, unless the height is negative
    height = tf.where(flipped, height, 2**32 - height)
    bits, method = (_integer(data, at, size, big=False) for at, size in ((28, 2), (30, 4)))
    masks = _bytes(b"\0\0\xff\0\0\xff\0\0\xff\0\0\0")  # blue comes first
    plain = (method == 0) | ((method == 3) & (bits == 32) & tf.reduce_all(data[54:66] == masks))
    data = _require((header >= 40) & plain, _small_enough(data, width, height, max_pixels))
    stride = (width * bits + 31) // 32 * 4  # rows are padded to whole words
    rows = tf.reshape(data[start : start + height * stride], tf.stack([height, stride]))

    def direct():
        channels = _require((bits == 24) | (bits == 32), bits // 8)
        return tf.reshape(rows[:, : width * channels], tf.stack([height, width, channels]))

    def by_palette():
        depth = _require((bits == 1) | (bits == 4) | (bits == 8), bits)
        shifts = tf.cast(tf.range(8 - depth, -1, -depth), tf.uint8)
        mask = tf.bitwise.right_shift(tf.constant(255, tf.uint8), tf.cast(8 - depth, tf.uint8))
        indices = tf.bitwise.bitwise_and(tf.bitwise.right_shift(rows[..., None], shifts), mask)
        indices = tf.reshape(indices, tf.stack([height, -1]))[:, :width]
        palette = data[14 + header : start]
        palette = tf.reshape(palette[: tf.size(palette) // 4 * 4], [-1, 4])
        return tf.gather(palette, tf.cast(indices, tf.int32))

    pixels = tf.cond(bits > 8, direct, by_palette)[..., 2::-1]
    return tf.cond(flipped, lambda: pixels[::-1], lambda: pixels), tf.constant(1)
