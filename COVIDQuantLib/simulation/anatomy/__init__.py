"""The phantom's body as formulas of a seed, and the trees, tubes and CT numbers that painted chests use too.

A phantom's body is given in closed form, in patient coordinates: any point's distance to rib cage, diaphragm or fissure
can be computed. A painted chest (``painted/``) is given as lobes of any shape on a grid, so that its wall, ribs and
spine follow from distances to them. What does not depend on how a body is given is here once.
"""
