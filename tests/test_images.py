"""Files of pictures become squares of pixels, and a bad one harms nobody but itself."""

import io
import resource
import struct
import zlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from tensorflow.core.protobuf import saved_model_pb2

from rnn_apps.export import graphs
from rnn_apps.preprocessing.images import PADDING, decode_images, scaled

COLOURS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
PICTURE = Image.fromarray(COLOURS).resize((90, 60), Image.Resampling.BICUBIC)
ALPHA = np.linspace(0, 255, 60 * 90).reshape(60, 90).astype(np.uint8)
SEE_THROUGH = Image.fromarray(np.dstack([np.array(PICTURE), ALPHA]), "RGBA")
PALETTE = PICTURE.quantize(16)
GREY_16 = Image.fromarray((np.array(PICTURE.convert("L")).astype(np.uint16) << 8) + 255)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def upright_on_white(file):
    """What Pillow shows of a file: float (height, width, 3)."""
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(file)))
    if image.mode == "I;16":
        return np.repeat((np.array(image) >> 8)[..., None], 3, -1).astype(float)
    white = Image.new("RGBA", image.size, "white")
    return np.array(Image.alpha_composite(white, image.convert("RGBA")).convert("RGB"), float)


def with_exif(orientation, order="II", kind=3):
    """A JPEG whose EXIF data are written by hand, in one byte order or the other."""
    ends = {"II": "<", "MM": ">"}[order]
    entries = [
        (0x010F, 2, 4, b"abc\0"),
        (0x0112, kind, 1, struct.pack(ends + "HH", orientation, 0)),
    ]
    tiff = order.encode() + struct.pack(ends + "HIH", 42, 8, len(entries))
    tiff += b"".join(struct.pack(ends + "HHI", *entry[:3]) + entry[3] for entry in entries)
    segment = b"Exif\0\0" + tiff + bytes(4)
    file = encoded(PICTURE, "JPEG", quality=95)
    return file[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + file[2:]


def png(width, height, *, level=9):
    """A black PNG of one bit a pixel, whatever its size, without ever holding its pixels."""

    def chunk(name, data):
        name_and_data = name + data
        return (
            struct.pack(">I", len(data))
            + name_and_data
            + struct.pack(">I", zlib.crc32(name_and_data))
        )

    press, rows = zlib.compressobj(level), []
    for _ in range(height):
        rows.append(press.compress(bytes(1 + (width + 7) // 8)))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = b"".join(rows) + press.flush()
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bmp_of_4_bits():
    """A BMP with a palette and two pixels in a byte; rows go up and are padded."""
    indices = np.array(PALETTE)
    palette = np.array(PALETTE.getpalette()[: 16 * 3], np.uint8).reshape(-1, 3)
    palette = np.pad(palette, ((0, 16 - len(palette)), (0, 1)))[:, [2, 1, 0, 3]]
    pairs = np.pad(indices, ((0, 0), (0, 6))).reshape(60, 48, 2)
    rows = (pairs[..., 0] << 4 | pairs[..., 1]).astype(np.uint8)[::-1]
    start = 14 + 40 + palette.size
    header = struct.pack("<IiiHHIIiiII", 40, 90, 60, 1, 4, 0, rows.size, 0, 0, 16, 0)
    file = struct.pack("<2sIHHI", b"BM", start + rows.size, 0, 0, start)
    return file + header + palette.tobytes() + rows.tobytes()


def assert_one_colour(image, colour):
    np.testing.assert_allclose(image, np.broadcast_to(colour, image.shape), atol=1e-3)


GIF = encoded(PALETTE, "GIF")
JPEG = encoded(PICTURE, "JPEG")
FILES = {
    "jpeg": JPEG,
    "jpeg, progressive": encoded(PICTURE, "JPEG", progressive=True),
    "jpeg, grey": encoded(PICTURE.convert("L"), "JPEG"),
    "jpeg, cmyk": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "jpeg, all colours": encoded(PICTURE, "JPEG", subsampling=0, quality=100),
    "jpeg, with a profile": encoded(PICTURE, "JPEG", icc_profile=bytes(200_000)),
    "jpeg, with filling": JPEG[:2] + b"\xff\xff\xff" + JPEG[2:],
    "png": encoded(PICTURE),
    "png, alpha": encoded(SEE_THROUGH),
    "png, grey": encoded(PICTURE.convert("L")),
    "png, grey with alpha": encoded(SEE_THROUGH.convert("LA")),
    "png, palette": encoded(PALETTE),
    "png, palette with alpha": encoded(PALETTE, transparency=3),
    "png, black and white": encoded(PICTURE.convert("1")),
    "png, a colour transparent": encoded(PICTURE, transparency=PICTURE.getpixel((0, 0))),
    "png, 16 bit": encoded(GREY_16),
    "gif": GIF,
    "gif, transparent": encoded(PALETTE, "GIF", transparency=3),
    "gif, of 1987": encoded(PALETTE, "GIF", save_all=False, interlace=0),
    "gif, with a comment": encoded(PALETTE, "GIF", comment=b"long " * 300),
    "bmp": encoded(PICTURE, "BMP"),
    "bmp, 32 bit": encoded(PICTURE.convert("RGBA"), "BMP"),
    "bmp, palette": encoded(PALETTE, "BMP"),
    "bmp, palette of 16": bmp_of_4_bits(),
    "bmp, black and white": encoded(PICTURE.convert("1"), "BMP"),
    "bmp, grey": encoded(PICTURE.convert("L"), "BMP"),
}
BAD = {
    "empty": b"",
    "one byte": b"\xff",
    "text": b"Ein Bild, das keines ist",
    "another format": encoded(PICTURE, "WEBP"),
    "zeros": bytes(1000),
    "jpeg, only its beginning": JPEG[:3],
    "jpeg, cut in its header": JPEG[:200],
    "jpeg, cut in its pixels": JPEG[:-300],
    "jpeg, pixels before the header": b"\xff\xd8\xff\xda" + JPEG[2:],
    "jpeg, of no height": JPEG.replace(struct.pack(">HH", 60, 90), struct.pack(">HH", 0, 90)),
    "jpeg, of many comments": JPEG[:2] + b"\xff\xfe\0\2" * 5000 + JPEG[2:],
    "png, only its header": FILES["png"][:33],
    "png, cut": FILES["png"][:-100],
    "png, damaged": FILES["png"][:100] + b"\0\1\2\3" + FILES["png"][104:],
    "png, of no width": FILES["png"][:16] + bytes(4) + FILES["png"][20:],
    "png, called a jpeg": JPEG[:3] + FILES["png"],
    "jpeg, called a png": FILES["png"][:16] + JPEG,
    "gif, without a frame": GIF[:13] + b";",
    "gif, cut": GIF[: len(GIF) // 2],
    "bmp, cut": FILES["bmp"][:-100],
    "bmp, compressed": FILES["bmp, palette"][:30] + b"\1" + FILES["bmp, palette"][31:],
    "bmp, of 5 bits": FILES["bmp"][:28] + b"\5" + FILES["bmp"][29:],
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_shows_what_pillow_shows(kind):
    expected = upright_on_white(FILES[kind])
    height, width = expected.shape[:2]
    images, ok = decode_images([FILES[kind]], 90)
    assert ok.numpy().tolist() == [True]
    top, left = (90 - height) // 2, (90 - width) // 2
    shown = images[0, top : top + height, left : left + width].numpy()
    np.testing.assert_allclose(shown, expected, atol=6 if kind[:4] == "jpeg" else 1)
    assert np.abs(shown - expected).mean() < 1
    np.testing.assert_array_equal(images[0, :top], PADDING)
    np.testing.assert_array_equal(images[0, top + height :], PADDING)


@pytest.mark.parametrize("order", ["II", "MM"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_photograph_stands_upright(orientation, order):
    file = with_exif(orientation, order)
    expected = upright_on_white(file)
    assert (expected.shape[0] > expected.shape[1]) == (orientation >= 5)
    images, ok = decode_images([file], 90)
    assert ok[0]
    height, width = expected.shape[:2]
    top, left = (90 - height) // 2, (90 - width) // 2
    shown = images[0, top : top + height, left : left + width]
    np.testing.assert_allclose(shown, expected, atol=4)


def test_exif_data_that_make_no_sense_turn_nothing():
    plain = decode_images([with_exif(1)], 90)[0]
    file = with_exif(6)
    place = file.index(b"Exif\0\0") + 6
    beyond = file[: place + 4] + b"\xff\xff\xff\xff" + file[place + 8 :]
    many = file[: place + 8] + b"\xff\xff" + file[place + 10 :]
    images, ok = decode_images([with_exif(0), with_exif(9), beyond, many], 90)
    assert ok.numpy().all()
    for image in images[:3]:
        np.testing.assert_array_equal(image, plain[0])
    np.testing.assert_array_equal(images[3], decode_images([file], 90)[0][0])


def test_bad_pictures_are_blank_and_spoil_no_others():
    good = list(FILES.values())
    mixed = [file for pair in zip(BAD.values(), good, strict=False) for file in pair]
    images, ok = decode_images(mixed, 90)
    for kind, image, fine in zip(BAD, images[::2], ok[::2], strict=True):
        assert not fine, kind
        np.testing.assert_array_equal(image, PADDING, err_msg=kind)
    assert ok[1::2].numpy().all()
    np.testing.assert_array_equal(images[1::2], decode_images(good[: len(BAD)], 90)[0])


def test_a_batch_and_one_by_one_give_the_same():
    files = [*FILES.values(), *BAD.values()]
    images, ok = decode_images(files, 24, fit="crop")
    assert images.dtype == tf.float32 and images.shape == (len(files), 24, 24, 3)
    for row, file in enumerate(files):
        image, fine = decode_images(tf.constant([file]), 24, fit="crop")
        np.testing.assert_array_equal(image[0], images[row])
        assert fine[0] == ok[row]


def test_an_empty_batch_and_a_batch_of_bad_ones_work():
    images, ok = decode_images(tf.zeros([0], tf.string), 90)
    assert images.shape == (0, 90, 90, 3) and ok.shape == (0,)
    images, ok = decode_images([b"", b"x"], 90)
    assert images.shape == (2, 90, 90, 3) and not ok.numpy().any()


def test_damage_at_any_place_never_raises():
    random = np.random.default_rng(1)
    files = []
    for file in FILES.values():
        for _ in range(12):
            damaged = bytearray(file[: random.integers(len(file) // 2, len(file))])
            for place in random.integers(0, min(len(damaged), 700), 3):
                damaged[place] = random.integers(256)
            files.append(bytes(damaged))
    images, ok = decode_images([*files, FILES["png"]], 90)
    assert ok[-1] and 0 < np.mean(ok) < 0.7
    assert np.min(images) >= 0 and np.max(images) <= 255
    np.testing.assert_array_equal(images.numpy()[~ok.numpy()], PADDING)


@pytest.mark.parametrize("kind", ["jpeg", "jpeg, progressive", "png", "gif", "bmp", "bmp, palette"])
def test_the_largest_size_is_just_allowed(kind):
    assert decode_images([FILES[kind]], 90, max_pixels=90 * 60)[1][0]
    assert not decode_images([FILES[kind]], 90, max_pixels=90 * 60 - 1)[1][0]


def test_the_longest_file_is_just_allowed():
    assert decode_images([JPEG], 90, max_bytes=len(JPEG))[1][0]
    images, ok = decode_images([JPEG, GIF], 90, max_bytes=len(JPEG) - 1)
    assert ok.numpy().tolist() == [False, True]


def long_film():
    """A GIF that repeats its second frame, a thousand pixels wide and high, 400 times."""
    frames = [Image.new("P", (1000, 1000), colour) for colour in (0, 1)]
    film = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    second = film.index(b"!\xf9", film.index(b",\0\0\0\0"))
    return film[:second] + film[second:-1] * 400 + b";"


@pytest.mark.parametrize(("make", "readable"), [(lambda: png(20_000, 20_000), 0), (long_film, 1)])
def test_a_bomb_takes_no_memory(make, readable):
    bomb = make()
    assert len(bomb) < 1_000_000
    decode_images([png(100, 100), GIF, bomb[:40]], 90)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, ok = decode_images([bomb, png(100, 100)], 90)
    assert ok.numpy().tolist() == [readable, True]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 100_000  # kilobytes, of more than a million


def test_sizes_that_overflow_are_refused():
    for width, height in ((2**32 - 1, 2**32 - 1), (2**31, 2**31), (2**32 - 1, 1)):
        file = FILES["png"][:16] + struct.pack(">II", width, height) + FILES["png"][24:]
        assert not decode_images([file], 90)[1][0]
    place = FILES["bmp"][:18]
    for width, height in ((2**31 - 1, 2**31 - 1), (1, -(2**31)), (-1, 60)):
        assert not decode_images(
            [place + struct.pack("<ii", width, height) + FILES["bmp"][26:]], 8
        )[1][0]


def test_only_the_first_frame_of_a_gif_is_read():
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("red", "lime", "blue")]
    film = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(film)).n_frames == 3
    huge = film.rindex(b",\0\0\0\0")
    bomb = film[: huge + 5] + b"\xff\xff\xff\xff" + film[huge + 9 :]
    cut = film[: huge + 12]
    images, ok = decode_images([film, bomb, cut], 90, max_pixels=900)
    assert ok.numpy().all()
    for image in images:
        assert_one_colour(image, [255, 0, 0])


def test_a_gif_whose_frame_lies_inside_a_canvas_shows_the_frame():
    place = GIF.index(b",\0\0\0\0")
    moved = GIF[:6] + struct.pack("<HH", 500, 400) + GIF[10:place] + b",\7\0\3\0" + GIF[place + 5 :]
    images, ok = decode_images([GIF, moved], 90)
    assert ok.numpy().all()
    np.testing.assert_array_equal(images[1], images[0])


def test_a_bmp_may_be_stored_from_the_top():
    file = FILES["bmp"]
    rows = np.frombuffer(file[54:], np.uint8).reshape(60, -1)[::-1].tobytes()
    turned = file[:22] + struct.pack("<i", -60) + file[26:54] + rows
    images, ok = decode_images([file, turned], 90)
    assert ok.numpy().all()
    np.testing.assert_array_equal(images[1], images[0])


def test_a_jpeg_of_endless_scans_is_refused():
    file = FILES["jpeg, progressive"]
    scan = file.index(b"\xff\xda")
    first = file[scan : file.index(b"\xff\xc4", scan)]
    few, many = (file[:scan] + first * count + file[scan:] for count in (3, 200))
    assert decode_images([few, many], 90)[1].numpy().tolist() == [True, False]


def test_cropping_fills_the_square_with_the_middle():
    pixels = np.zeros((40, 100, 3), np.uint8)
    pixels[:, 30:70] = [0, 200, 0]
    for array in (pixels, pixels.transpose(1, 0, 2)):
        images, ok = decode_images([encoded(Image.fromarray(array))], 24, fit="crop")
        assert ok[0]
        assert_one_colour(images[0], [0, 200, 0])


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 3)])
def test_odd_shapes_work(shape, fit):
    file = encoded(Image.new("RGB", shape, (10, 20, 30)))
    images, ok = decode_images([file], 24, fit=fit)
    assert ok[0]
    is_picture = np.isclose(images[0], [10, 20, 30]).all(-1)
    is_padding = (images[0].numpy() == PADDING).all(-1)
    assert is_picture.any() and (is_picture | is_padding).all()
    assert is_picture.all() == (fit == "crop" or shape == (1, 1))


def test_making_smaller_averages_instead_of_leaving_out():
    lines = np.zeros((192, 192), np.uint8)
    lines[:, ::8] = 240
    images, _ = decode_images([encoded(Image.fromarray(lines))], 24)
    np.testing.assert_allclose(images[0, :, 1:-1], 30, atol=1)


@pytest.mark.parametrize("name", FILES)
def test_decoding_does_not_rest_on_the_optimizer_of_graphs(name):
    optimised = decode_images([FILES[name]], 24)
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        plain = decode_images([FILES[name]], 24)
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})
    assert plain[1].numpy() == optimised[1].numpy()
    np.testing.assert_allclose(plain[0], optimised[0], atol=1e-3)


def test_arrays_and_a_data_set_give_the_same():
    files = [*FILES.values(), b""]
    images, ok = decode_images(files, 24)
    data = tf.data.Dataset.from_tensor_slices(files).batch(5)
    data = data.map(lambda batch: decode_images(batch, 24), num_parallel_calls=2)
    parts = list(data)
    np.testing.assert_array_equal(tf.concat([part[0] for part in parts], 0), images)
    np.testing.assert_array_equal(tf.concat([part[1] for part in parts], 0), ok)


def test_an_export_decodes_as_python_does(tmp_path):
    module = tf.Module()
    module.f = tf.function(
        lambda image_bytes: dict(
            zip(("images", "ok"), decode_images(image_bytes, 24), strict=True)
        ),
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    tf.saved_model.save(module, tmp_path / "moved", signatures=module.f)
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "moved/saved_model.pb").read_bytes())
    assert list(graphs.check_operations(saved.meta_graphs[0])) == []
    serve = tf.saved_model.load(tmp_path / "moved").signatures["serving_default"]
    for files in ([*FILES.values(), *BAD.values()], [JPEG], [b""]):
        images, ok = decode_images(files, 24)
        answer = serve(image_bytes=tf.constant(files))
        np.testing.assert_array_equal(answer["images"], images)
        np.testing.assert_array_equal(answer["ok"], ok)
    assert serve(image_bytes=tf.zeros([0], tf.string))["images"].shape == (0, 24, 24, 3)


def test_scaling_is_that_of_keras():
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 3, 3)).astype("float32")
    for how in ("tf", "torch", "caffe"):
        expected = keras.applications.imagenet_utils.preprocess_input(images.copy(), mode=how)
        np.testing.assert_allclose(scaled(images, how), expected, atol=1e-4)
    np.testing.assert_allclose(scaled(images, "unit"), images / 255, atol=1e-6)
    assert scaled(tf.cast(images, tf.bfloat16), "torch").dtype == tf.bfloat16


def test_settings_that_make_no_sense_are_explained():
    for size in (0, -3, 2.5, None, True):
        with pytest.raises(ValueError, match="positive integer"):
            decode_images([JPEG], size)
    with pytest.raises(ValueError, match="'pad', 'crop'"):
        decode_images([JPEG], 8, fit="stretch")
    with pytest.raises(ValueError, match="'caffe'"):
        scaled(np.zeros((1, 3), "float32"), "imagenet")
