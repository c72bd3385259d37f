"""The lungs of two exams laid over each other: a map between their points, and how good it is."""

from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.followup.registration.quality import RegistrationQuality
from COVIDQuantLib.followup.registration.register import Registration, register

__all__ = ["ExamImages", "Registration", "RegistrationQuality", "register"]
