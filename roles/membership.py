"""Taking what a consumer group gives, with one trap of librdkafka seen to once for all who consume by it."""

from confluent_kafka import Consumer, TopicPartition


def take_over(consumer: Consumer, partitions: list[TopicPartition], *, paused: bool) -> None:
    """Fetch these partitions from now on, or only own them while `paused`. For use in `on_assign`.

    librdkafka keeps a partition's pause across assignments: one that was paused when it was lost would come back
    paused, and never be read. So it is said either way.
    """
    consumer.assign(partitions)
    (consumer.pause if paused else consumer.resume)(partitions)
