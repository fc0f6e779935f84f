"""Whether whitened layers are well while a model trains. Needs torch alone."""

from netdeconv.health.measure import LayerHealth
from netdeconv.health.monitor import HealthWarning, Monitor, monitor
from netdeconv.health.remedies import findings

__all__ = ["HealthWarning", "LayerHealth", "Monitor", "findings", "monitor"]
