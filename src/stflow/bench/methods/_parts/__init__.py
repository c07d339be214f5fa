"""Parts of published methods: networks, tiles, lattices and the loop that trains them."""

from stflow.bench.methods._parts._crops import CropDraws, in_turn
from stflow.bench.methods._parts._deep import LR, RATES, Deep, Training, start_from
from stflow.bench.methods._parts._egnn import egnn
from stflow.bench.methods._parts._lattice import Lattice, lattice_cells, surroundings
from stflow.bench.methods._parts._slidewise import Block, FromCrops, SpotNetwork, Spots
from stflow.bench.methods._parts._steerable import FieldNorm, Residual, SteerableConv
from stflow.bench.methods._parts._trunk import FromTiles, TileTraining, Trunk, TrunkName
from stflow.bench.methods._parts._views import ThreeViews, fusion_loss
