"""Inside-Outside Guidance (Zhang et al., Interactive Object Segmentation with Inside-Outside
Guidance, CVPR 2020): networks and the methods built on them."""
