"""A made chest CT whose truth is known exactly."""

from COVIDQuantLib.simulation.phantom.files import write_phantom
from COVIDQuantLib.simulation.phantom.make import Phantom, make_phantom
from COVIDQuantLib.simulation.phantom_settings import PhantomSettings

__all__ = ["Phantom", "PhantomSettings", "make_phantom", "write_phantom"]
