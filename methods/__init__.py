"""The built-in methods. Each registers its name here and is imported when it is first used."""

from ..harness.registry import methods, simulators, trainers
from . import released_checkpoints as released_checkpoints

methods.register_lazily("nearest-click", f"{__name__}.baselines.nearest_click:NearestClick")
methods.register_lazily("oracle", f"{__name__}.baselines.bounds:Oracle")
methods.register_lazily("empty", f"{__name__}.baselines.bounds:Empty")
methods.register_lazily("ellipse", f"{__name__}.baselines.ellipse:Ellipse")
methods.register_lazily("graph-cut", f"{__name__}.classical.graph_cut:GraphCut")
methods.register_lazily("grabcut", f"{__name__}.classical.grabcut:GrabCut")
methods.register_lazily("random-walker", f"{__name__}.classical.random_walker:RandomWalker")
methods.register_lazily("geodesic", f"{__name__}.classical.geodesic:Geodesic")
methods.register_lazily("dextr", f"{__name__}.dextr.dextr:DEXTR")
methods.register_lazily("iog", f"{__name__}.iog.iog:IOG")
methods.register_lazily("iog-refine", f"{__name__}.iog.iog_refine:IOGRefine")
methods.register_lazily("iog-box", f"{__name__}.iog.iog_box:IOGBox")
methods.register_lazily("forte", f"{__name__}.forte.forte:Forte")
methods.register_lazily("fbrs", f"{__name__}.click_networks.fbrs:FBRS")
methods.register_lazily("ritm", f"{__name__}.click_networks.ritm:RITM")
methods.register_lazily("fcfi", f"{__name__}.click_networks.fcfi:FCFI")
methods.register_lazily("cdnet", f"{__name__}.click_networks.cdnet:CDNet")
methods.register_lazily("focalclick", f"{__name__}.click_networks.focalclick:FocalClick")
methods.register_lazily("simpleclick", f"{__name__}.click_networks.simpleclick:SimpleClick")
methods.register_lazily("segnext", f"{__name__}.click_networks.segnext:SegNext")
methods.register_lazily("cfr", f"{__name__}.click_networks.cfr:CascadedRefinement")
methods.register_lazily("sam", f"{__name__}.promptable.sam:SAM")

# Played for one method only, as its authors' scripts do.
simulators.register_lazily("dextr-released", f"{__name__}.dextr.released_simulator:DEXTRReleased")
simulators.register_lazily("iog-released", f"{__name__}.iog.released_simulator:IOGReleased")

trainers.register_lazily("iog", f"{__name__}.iog.training.trainer:IOGTrainer")
