"""What is wrong with a layer, in words, and what helps."""

from __future__ import annotations

from netdeconv.health.measure import LayerHealth

FEW_ROWS = 2.0
SILENT_SHARE = 0.1
LARGE_GAIN = 30.0
FAR_MEAN, FAR_WHITENING = 1.0, 2.0


def findings(health: LayerHealth) -> dict[str, str]:
    """What a reading shows to be wrong: a sentence with the remedy, by kind.

    Args:
        health: of one layer.

    Returns:
        Nothing for a healthy layer. Kinds: ``not_finite``, ``few_rows``, ``silent_channels``, ``large_gain``,
        ``below_eps``, ``far_statistics``.

    Example:
        >>> findings(LayerHealth(rows=12, features=144))["few_rows"]
        '12 rows for 144 features: smaller group_size, or sampling_stride=1, or a larger batch'
    """
    if not health.is_finite:
        return {"not_finite": "NaN or infinity in its input: check_finite(model) names the layer where they begin"}
    found = {}
    if health.rows_per_feature < FEW_ROWS:
        found["few_rows"] = (
            f"{health.rows} rows for {health.features} features: smaller group_size, or sampling_stride=1, "
            "or a larger batch"
        )
    silent = health.dead_channels + health.constant_channels
    if silent and silent >= SILENT_SHARE * health.channels:
        found["silent_channels"] = (
            f"{health.dead_channels} dead and {health.constant_channels} constant of {health.channels} channels: "
            "a lower learning rate, or leave them out of the layer before"
        )
        return found  # with nothing to whiten, what follows says nothing more
    if health.variance < health.eps:
        found["below_eps"] = (
            f"its input's variance, {health.variance:.1e}, is below eps={health.eps:g}, so it is hardly whitened: "
            "a smaller eps, or an input of larger scale"
        )
    if health.relative_gain > LARGE_GAIN:
        found["large_gain"] = (
            f"the weakest direction is amplified {health.relative_gain:.0f} times as much as a whitened one: "
            "a larger eps, or the default root of num_iterations=5"
        )
    if health.mean_distance > FAR_MEAN or health.whitening_distance > FAR_WHITENING:
        found["far_statistics"] = (
            f"running statistics are far from the batch's (mean {health.mean_distance:.1f} deviations, "
            f"whitening {100 * health.whitening_distance:.0f} %): recalibrate(model, batches) before evaluation, "
            "a larger momentum, or a lower learning rate"
        )
    return found
