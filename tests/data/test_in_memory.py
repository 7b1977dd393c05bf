import pytest
import torch

from ghostexp.data.in_memory import BatchLoader, EpochOrder, InMemory


def order(count: int, batch_size: int, epoch: int = 0, **arguments) -> EpochOrder:
    made = EpochOrder(torch.arange(count), batch_size, **{"shuffle": True, **arguments})
    made.set_epoch(epoch)
    return made


def batches(*arguments, **keywords) -> list[list[int]]:
    return [batch.tolist() for batch in order(*arguments, **keywords)]


def test_order_follows_from_seed_and_epoch_alone():
    torch.manual_seed(1)
    first = batches(50, 8, epoch=3, seed=5)
    torch.manual_seed(2)
    assert batches(50, 8, epoch=3, seed=5) == first
    assert batches(50, 8, epoch=4, seed=5) != first
    assert batches(50, 8, epoch=3, seed=6) != first


def test_order_leaves_global_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    batches(50, 8)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_sees_every_index_once_and_keeps_the_short_batch():
    seen = batches(20, 8)
    assert [len(batch) for batch in seen] == [8, 8, 4]
    assert sorted(sum(seen, [])) == list(range(20))


def test_last_batch_of_one_joins_the_batch_before():
    seen = batches(17, 8)
    assert [len(batch) for batch in seen] == [8, 9]
    assert sorted(sum(seen, [])) == list(range(17))
    assert [len(batch) for batch in batches(17, 8, shuffle=False)] == [8, 8, 1]
    assert [len(batch) for batch in batches(3, 1)] == [1, 1, 1]
    assert [len(batch) for batch in batches(1, 8)] == [1]


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [True, False])
def test_length_is_the_number_of_batches(world_size, shuffle):
    for count in range(world_size, 40):
        for rank in range(world_size):
            made = order(count, 4, shuffle=shuffle, rank=rank, world_size=world_size)
            assert len(made) == len(list(made)), (count, rank)


def test_two_ranks_cover_what_one_process_covers():
    alone = batches(39, 8, epoch=2)
    left, right = (batches(39, 4, epoch=2, rank=rank, world_size=2) for rank in (0, 1))
    for whole, even, odd in zip(alone[:-1], left, right, strict=False):
        assert whole[0::2] == even
        assert whole[1::2] == odd
    assert len(left) == len(right) == 5
    assert len(left[-1]) == len(right[-1]) == 3  # of 7: one is left over
    assert set(left[-1]) | set(right[-1]) == set(alone[-1][:6])


@pytest.mark.parametrize("shuffle", [True, False])
def test_every_rank_has_as_many_batches(shuffle):
    for count in range(3, 60):
        shards = [batches(count, 4, shuffle=shuffle, rank=rank, world_size=3) for rank in range(3)]
        assert len({len(shard) for shard in shards}) == 1, count
        assert all(1 <= len(batch) <= 5 for shard in shards for batch in shard), count


def test_fewer_examples_than_processes_are_refused():
    with pytest.raises(ValueError, match="2 examples are fewer than the 3 processes"):
        order(2, 4, world_size=3)


def test_evaluation_shards_lose_and_repeat_nothing():
    shards = [batches(23, 4, shuffle=False, rank=rank, world_size=3) for rank in range(3)]
    indices = sum(sum(shards, []), [])
    assert sorted(indices) == list(range(23))


def test_loader_gathers_images_with_their_labels():
    pixels = torch.arange(10, dtype=torch.uint8).view(10, 1, 1, 1).expand(10, 4, 5, 3).contiguous()
    indices = torch.tensor([1, 2, 5, 7, 8])
    sampler = EpochOrder(indices, 2, shuffle=False)
    loader = BatchLoader(InMemory(pixels), torch.arange(10) * 11, sampler)
    assert len(loader) == 3
    assert loader.batch_size == 2
    assert loader.sampler is sampler
    seen = list(loader)
    assert torch.cat([labels for _, labels in seen]).tolist() == [11, 22, 55, 77, 88]
    images = torch.cat([images for images, _ in seen])
    assert images.shape == (5, 3, 4, 5)
    assert images.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(images[:, 0, 0, 0].long(), indices)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_loader_goes_on_within_an_epoch(num_workers):
    images = InMemory(torch.zeros(50, 1, 1, 1, dtype=torch.uint8))
    images.num_workers = num_workers

    def loader(epoch):
        return BatchLoader(images, torch.arange(50), order(50, 8, epoch, seed=5))

    whole = [labels.tolist() for _, labels in loader(3)]
    first = loader(3)
    batches = iter(first)
    seen = [next(batches)[1].tolist() for _ in range(4)]
    assert first.state_dict() == {"epoch": 3, "done": 4}  # whatever the process has read ahead
    resumed = loader(0)
    resumed.load_state_dict(first.state_dict())
    resumed.sampler.set_epoch(3)
    assert len(resumed) == 7  # of the epoch, as Lightning counts
    assert seen + [labels.tolist() for _, labels in resumed] == whole
    assert resumed.state_dict() == {"epoch": 3, "done": 7}
    assert [labels.tolist() for _, labels in resumed] == whole  # the next pass is a whole one
    resumed.load_state_dict(first.state_dict())
    resumed.sampler.set_epoch(4)
    assert [labels.tolist() for _, labels in resumed] == batches_of(4)


def batches_of(epoch):
    return batches(50, 8, epoch, seed=5)
