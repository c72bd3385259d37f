# Files to package; `python Testing/test_extension_layout.py` writes this list anew.
set(Resources_FILES
  Resources/Atlas/License.txt
  Resources/Atlas/fissure_atlas.json
  Resources/Reference/normal_lung_histogram.json
  Resources/Terminologies/COVIDQuant.term.json
  )
