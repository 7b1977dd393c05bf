import pytest
import torch
from torchvision.transforms import v2

from ghostexp.data import AudioAugment, LogMel, SpecAugment
from ghostexp.data.audio_augment import add_noise, random_bands, random_shift
from ghostexp.data.draws import Place

MEL = {"sample_rate": 8000, "n_fft": 128, "hop_length": 64, "n_mels": 16}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(**arguments) -> AudioAugment:
    return AudioAugment(**{"log_mel": LogMel(**MEL), "mean": -30.0, "std": 20.0, **arguments})


def waveforms(count: int = 8) -> torch.Tensor:
    noise = torch.randn(count, 1000, generator=generator(9)) * 3000
    return noise.round().to(torch.int16)


def test_shift_moves_each_waveform_and_brings_zeros():
    ramp = torch.arange(1.0, 11).expand(300, 10)
    moved = random_shift(ramp, 3, generator())
    shifts = torch.randint(-3, 4, (300, 1), generator=generator())[:, 0].tolist()
    assert set(shifts) == set(range(-3, 4))
    for row, shift in zip(moved, shifts, strict=True):
        expected = torch.zeros(10)
        for index in range(10):
            if 0 <= index - shift < 10:
                expected[index] = index - shift + 1
        assert torch.equal(row, expected)


def test_noise_has_the_power_asked_for():
    signal = torch.randn(3, 200_000, generator=generator()) * torch.tensor([[1.0], [0.1], [5.0]])
    snr = torch.tensor([[0.0], [10.0], [30.0]])
    noise = add_noise(signal, snr, generator()) - signal
    measured = 10 * (signal.square().mean(1) / noise.square().mean(1)).log10()
    torch.testing.assert_close(measured, snr[:, 0], rtol=0, atol=0.05)
    silence = torch.zeros(1, 100)
    assert torch.equal(add_noise(silence, snr[:1], generator()), silence)


def test_bands_are_of_every_width_up_to_the_limit_and_inside():
    bands = random_bands(4000, 12, 1, 3, generator())
    widths = bands.sum(1)
    assert widths.bincount(minlength=4).min() > 850  # of 1000 expected
    starts = bands[widths == 3].float().argmax(1)
    assert (starts.bincount(minlength=10) > 0).all()
    edges = (bands[:, 1:] != bands[:, :-1]).sum(1) + bands[:, 0] + bands[:, -1]
    assert (edges[widths > 0] == 2).all()  # one run
    assert not random_bands(9, 12, 0, 3, generator()).any()
    assert random_bands(500, 2, 1, 9, generator()).sum(1).max() == 2


def test_masks_are_whole_rows_and_columns_of_zero():
    masks = SpecAugment(freq_masks=1, freq_width=3, time_masks=1, time_width=50, max_time=0.25)
    zero = masks(torch.ones(500, 1, 16, 20), generator())[:, 0] == 0
    rows, columns = zero.all(2), zero.all(1)
    assert torch.equal(zero, rows[:, :, None] | columns[:, None, :])
    assert (int(rows.sum(1).max()), int(columns.sum(1).max())) == (3, 5)  # a quarter of 20


def test_evaluate_is_the_normalised_log_mel():
    batch = waveforms()
    expected = (LogMel(**MEL)(batch.float() / 2**15) + 30) / 20
    torch.testing.assert_close(make(shift=0.1, gain_db=6.0).evaluate(batch), expected)


def test_without_mean_and_std_each_example_has_its_own():
    inputs = make(mean=None, std=None).evaluate(waveforms())
    torch.testing.assert_close(inputs.mean((1, 2, 3)), torch.zeros(8), rtol=0, atol=1e-5)
    torch.testing.assert_close(inputs.std((1, 2, 3)), torch.ones(8))
    silence = make(mean=None, std=None).evaluate(torch.zeros(1, 1000, dtype=torch.int16))
    assert (silence == 0).all()


def test_nothing_asked_for_is_evaluate():
    batch, labels = waveforms(), torch.arange(8)
    inputs, targets = make().train(batch, labels, Place(0))
    assert torch.equal(inputs, make().evaluate(batch))
    assert targets is labels


def test_gain_is_a_constant_of_decibels_an_example():
    batch = waveforms()
    louder = make(gain_db=6.0).train(batch, torch.arange(8), Place(0))[0]
    difference = 20 * (louder - make().evaluate(batch)).flatten(1)
    torch.testing.assert_close(
        difference, difference[:, :1].expand_as(difference), atol=1e-2, rtol=0
    )
    gains = difference[:, 0]
    assert gains.abs().max() <= 6.001
    assert gains.std() > 1


def test_augmentation_follows_from_the_generator_alone():
    augment = make(
        shift=0.01,
        gain_db=6.0,
        noise_snr_db=[10, 30],
        masks=SpecAugment(),
        mix=v2.MixUp(alpha=0.4, num_classes=8),
    )
    batch, labels = waveforms(), torch.arange(8)
    torch.manual_seed(1)
    first = augment.train(batch, labels, Place(7))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = augment.train(batch, labels, Place(7))
    third = augment.train(batch, labels, Place(8))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], third[0])
    torch.testing.assert_close(first[1].sum(1), torch.ones(8))


def test_low_frequencies_are_at_the_foot_of_the_picture():
    seconds = torch.arange(1000) / 8000
    hum = (torch.sin(2 * torch.pi * 200 * seconds) * 9000).to(torch.int16)[None]
    augment = make()
    picture = augment.picture(augment.evaluate(hum))
    assert picture.shape == (1, 1, 16, 16)
    assert (float(picture.min()), float(picture.max())) == (0, 1)
    assert picture[0, 0].mean(1).argmax() >= 13
    assert (augment.picture(torch.ones(1, 1, 4, 4)) == 0).all()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mean": None}, "both numbers, std above 0, or both null, not None and 20.0"),
        ({"std": 0.0}, "not -30.0 and 0.0"),
        ({"shift": -1.0}, "shift is a number of at least 0, not -1.0"),
        ({"noise_snr_db": [30, 10]}, r"noise_snr_db is \[low, high\] or null, not \[30, 10\]"),
    ],
)
def test_bad_arguments_are_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(**change)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"time_masks": -1}, "time_masks is a whole number of at least 0, not -1"),
        ({"max_time": 0}, r"max_time is a share of the frames in \(0, 1\], not 0"),
    ],
)
def test_bad_masks_are_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        SpecAugment(**change)
