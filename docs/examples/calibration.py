"""
Is the spread right?
====================

Where does the truth lie among the samples? Were it one more draw from the model, every rank
would be equally frequent: see :doc:`/explanation/calibration`.
"""

# %%
# Squares of two photographs of scikit-image: a cup (Rachel Michetti) and a cat (Stéfan van der
# Walt), both CC0. That is far too few to judge a model by, and enough to show how it is done;
# :doc:`/evaluation` has the numbers of many images.
import matplotlib.pyplot as plt
import skimage.data
from PIL import Image

import cvdvae
from cvdvae.analysis.calibration import calibration
from cvdvae.degradations.base import shrink_to_8_bits
from cvdvae.evaluation.selection import Pair
from cvdvae.imaging.io import to_tensor

model = cvdvae.load("photos-x2")
places = {"coffee": (150, 100), "chelsea": (120, 40)}
pairs = []
for name, (left, top) in places.items():
    photo = Image.fromarray(getattr(skimage.data, name)())
    truth = to_tensor(photo.crop((left, top, left + 192, top + 192)))
    pairs.append(Pair(truth, shrink_to_8_bits(truth[None], model.degradation)[0]))

# %%
# Nine samples, so that the 80 % interval lies between two of them; at the recommended
# temperatures, and at the tame ones for looking.
drawn = {}
for title, look in {"recommended": False, "for looking": True}.items():
    drawn[title] = calibration(model, pairs, model.sampling(9, seed=0, look=look))
    held = drawn[title].coverage["80%"]
    print(f"{title}: CRPS {drawn[title].crps.mean:.4f}, 80 % intervals hold {held:.0%}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.plot([0, 1], [0, 1], color="0.7")
for title, one in drawn.items():
    left.plot(one.nominal, one.observed, marker=".", label=title)
    right.plot([len(one.rank_histogram) * f for f in one.rank_histogram], drawstyle="steps-mid")
left.set(title="reliability", xlabel="nominal coverage", ylabel="observed coverage")
left.legend()
right.axhline(1, color="0.7")
right.set(
    title="rank of the truth", xlabel="rank", ylabel="frequency (1: calibrated)", ylim=(0, None)
)
