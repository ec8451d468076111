"""Sets of the images that no zoom makes classifiable, built as ImageNet-Hard was (arXiv 2304.05538), and scores."""
