"""A made chest CT whose truth is known exactly."""

from COVIDQuantLib.phantom.files import write_phantom
from COVIDQuantLib.phantom.make import Phantom, make_phantom
from COVIDQuantLib.phantom.settings import PhantomSettings

__all__ = ["Phantom", "PhantomSettings", "make_phantom", "write_phantom"]
