"""Our numbers against those of the published code, on the same random weights and noise.

git clone https://github.com/openai/vdvae; git clone https://github.com/jprost76/srvdvae
git clone https://github.com/JingyunLiang/HCFlow
pip install natsort tensorboardX  # which HCFlow imports
python benchmarks/equality.py --vdvae vdvae --srvdvae srvdvae --hcflow HCFlow
"""

import argparse
import sys
from pathlib import Path
from types import SimpleNamespace

import torch
import yaml
from published import (
    ListedNoise,
    copy_encoder,
    copy_prior,
    hyperparameters,
    load_module,
    lr_hyperparameters,
    randomize,
)

from cvdvae.checkpoints.published import FLAG, hcflow_names
from cvdvae.configs import load_yaml
from cvdvae.gaussian import DiagonalGaussian
from cvdvae.hcflow import HCFlow
from cvdvae.hcflow.presets import PRESETS as FLOW_PRESETS
from cvdvae.hvae import HVAE
from cvdvae.hvae.lr_encoder import LREncoder, lr_encoder_kl
from cvdvae.hvae.presets import PRESETS
from cvdvae.training import EncoderTraining

CONFIGS = Path(__file__).parents[1] / "configs"


@torch.no_grad()
def compare_prior(checkout: Path, preset: str) -> None:
    """ELBO, reconstruction and sampling of one preset."""
    config = PRESETS[preset]
    vae = load_module(checkout, "vae")
    theirs = vae.VAE(hyperparameters(preset, config)).eval()
    randomize(theirs)
    ours = HVAE(config).eval()
    copy_prior(theirs, ours)
    counts = [sum(p.numel() for p in model.parameters()) for model in (theirs, ours)]
    print(f"{preset:>17}  {ours.groups} groups, {counts[0]:,} and {counts[1]:,} parameters")
    noise = ListedNoise(config, batch=1)
    vae.draw_gaussian_diag_samples = noise.published  # type: ignore[attr-defined]
    size = config.image_size
    pixels = torch.randint(0, 256, (1, 3, size, size), generator=torch.Generator().manual_seed(1))
    x = pixels / 255
    shown = ((x - config.input_mean) / config.input_std).permute(0, 2, 3, 1)
    target = (pixels // 8 * 8 if config.bits == 5 else pixels) / 127.5 - 1
    published = theirs(shown, target.permute(0, 2, 3, 1))
    noise.restart()
    elbo = ours.elbo(x, noise)
    nats = elbo.dims * torch.stack([published["distortion"], published["rate"]])
    ours_nats = torch.stack([-elbo.log_likelihood[0], elbo.kl.sum()])
    # Sums over up to 3 million values: relative.
    report(preset, "distortion and rate, relative", (ours_nats / nats - 1).abs().max())

    noise.restart()
    state, _ = theirs.decoder(theirs.encoder(shown))
    logits = theirs.decoder.out_net(state).permute(0, 3, 1, 2)
    noise.restart()
    h, visited = ours.infer(x, noise)
    report(preset, "reconstruction: logits", (ours.parameters_of_x(h) - logits).abs().max())

    latents = [v.z for v in visited]
    state = theirs.decoder.forward_manual_latents(1, latents)
    logits = theirs.decoder.out_net(state).permute(0, 3, 1, 2)
    report(preset, "given latents: logits", (ours.decode(latents)[0] - logits).abs().max())

    noise.restart()
    state = theirs.decoder.forward_uncond(1, t=0.7)
    logits = theirs.decoder.out_net(state).permute(0, 3, 1, 2)
    noise.restart()
    drawn, _ = ours.decode([], batch=1, temperature=0.7, noise=noise)
    report(preset, "sampling at 0.7: logits", (drawn - logits).abs().max())


@torch.no_grad()
def compare_encoder(checkout: Path, scale: int) -> None:
    """Loss and super-resolution of one LR encoder on the ffhq256 prior."""
    prior, preset = PRESETS["ffhq256"], "ffhq256"
    config = load_yaml(EncoderTraining, CONFIGS / f"ffhq256-x{scale}.yaml").model
    cvdvae = load_module(checkout, "cvdvae")
    settings = hyperparameters(preset, prior, **lr_hyperparameters(config, prior))
    theirs = cvdvae.CVAE(settings).eval()
    randomize(theirs)
    ours, encoder = HVAE(prior).eval(), LREncoder(config, prior).eval()
    copy_prior(theirs, ours)
    copy_encoder(theirs, encoder, prior)
    noise = ListedNoise(prior, batch=1)
    cvdvae.draw_gaussian_diag_samples = noise.published  # type: ignore[attr-defined]
    generator = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (1, 3, 256, 256), generator=generator) / 255
    side = settings.image_size_y
    y = torch.randint(0, 256, (1, 3, side, side), generator=generator) / 255
    _, kls = theirs.forward_cond_training(255 * x, 255 * y)
    noise.restart()
    kl = lr_encoder_kl(ours, encoder, x, y, noise)[0]
    nats = torch.stack(list(kls.values())).flatten() * x.numel()
    sizes = torch.tensor([e.numel() / x.numel() for e in noise.epsilon[: len(nats)]])
    report(f"×{scale}", "KL of every group, relative", (kl / (nats * sizes) - 1).abs().max())

    noise.restart()
    activations = theirs.encoder_y(theirs.normalize_input(255 * y))
    state, _ = theirs.decoder.forward_cond_y(activations, False, 0.8)
    logits = theirs.decoder.out_net(state).permute(0, 3, 1, 2)
    noise.restart()
    terms = encoder.terms(y)

    def pick(group, h, p):  # type: ignore[no-untyped-def]
        if group >= encoder.groups:
            return p.sample(noise, 0.8)
        return encoder.posterior_of(group, h, p, terms).sample(noise)

    drawn = ours.parameters_of_x(ours.top_down(pick, 1))
    report(f"×{scale}", "super-resolution at 0.8: logits", (drawn - logits).abs().max())


@torch.no_grad()
def compare_flow(checkout: Path, preset: str, options: str) -> None:
    """Encoding, likelihood and sampling of one flow."""
    sys.path.insert(0, str(checkout / "codes"))
    from models.modules.HCFlowNet_SR_arch import HCFlowNet_SR  # type: ignore[import-not-found]

    text = (checkout / "codes" / "options" / "test" / options).read_text()
    theirs = HCFlowNet_SR(yaml.safe_load(text)).eval()
    generator = torch.Generator().manual_seed(0)
    for name, parameter in theirs.named_parameters():
        if not name.endswith("permute.weight"):  # a rotation
            spread = 0.004 if parameter.ndim == 4 and parameter.shape[1] > 1 else 0.02
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    config = FLOW_PRESETS[preset]
    ours, state = HCFlow(config).eval(), theirs.state_dict()
    weights = {o: state[t] for o, t in hcflow_names(config).items()}
    flags = {n: torch.tensor(True) for n in ours.state_dict() if n.endswith(FLAG)}
    ours.load_state_dict(weights | flags)
    side = 8 * config.scale
    y, x = (torch.rand(1, 3, s, s, generator=generator) for s in (8, side))

    z, log_det = theirs.flow(hr=x, logdet=torch.zeros(1), reverse=False, training=False)
    mine, _, _, _ = ours.encode(x)
    report(preset, "encoding", (mine - z).abs().max())
    # Around z itself, whose density the published log-determinant leaves out.
    around = DiagonalGaussian(z, torch.full_like(z, config.lr_log_std)).log_prob(z)
    report(
        preset, "likelihood, relative", ((ours.log_prob(x, z) - around) / log_det - 1).abs().max()
    )

    epsilon: list[torch.Tensor] = []

    def normal(mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
        epsilon.append(torch.randn(mean.shape, generator=generator))
        return mean + std * epsilon[-1]

    original, torch.normal = torch.normal, normal  # type: ignore[assignment]
    drawn = theirs.flow(z=y, eps_std=0.8, reverse=True, training=False)
    torch.normal = original
    noise = SimpleNamespace(normal=lambda like, given=iter(epsilon): next(given))
    report(preset, "sampling at 0.8", (ours.sample(y, noise, 0.8) - drawn).abs().max())


def report(model: str, what: str, difference: torch.Tensor) -> None:
    """One line; a difference beyond 1e-4 fails the run."""
    print(f"{model:>17}  {what:<36} {float(difference):.1e}", flush=True)
    if not float(difference) < 1e-4:
        raise SystemExit(f"{model}, {what}: not equal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vdvae", type=Path, help="checkout of openai/vdvae")
    parser.add_argument("--srvdvae", type=Path, help="checkout of jprost76/srvdvae")
    parser.add_argument("--hcflow", type=Path, help="checkout of JingyunLiang/HCFlow")
    arguments = parser.parse_args()
    if arguments.vdvae:
        for preset in PRESETS:
            compare_prior(arguments.vdvae, preset)
    if arguments.srvdvae:
        for scale in (4, 8, 16):
            compare_encoder(arguments.srvdvae, scale)
    if arguments.hcflow:
        compare_flow(arguments.hcflow, "hcflow-celeba-x8", "test_SR_CelebA_8X_HCFlow.yml")
        compare_flow(arguments.hcflow, "hcflow-general-x4", "test_SR_DF2K_4X_HCFlow.yml")


if __name__ == "__main__":
    main()
