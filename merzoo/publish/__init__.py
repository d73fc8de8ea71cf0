"""From a training run to a published model: the folder, its model card, and the Hub."""
