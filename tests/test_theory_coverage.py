"""Every fact that the theory is there for has a derivation, and every derivation is there for a fact."""

from weightdecay import theory

COVERED = {
    "exact identities of any network": {
        "one step of SGD with L2: the squared norm, and where it rests": {"radial-step", "norm-flow"},
        "any update with decoupled decay": {"update-balance"},
        "the balance summed over any window of steps": {"window-balance"},
        "the pull of the batch that makes the step, not of the training set": {"reshuffled-pull"},
        "heavy ball with L2: fluctuation and dissipation": {"heavy-ball-balance", "heavy-ball-window"},
        "output weights: entropy less loss, and the bias term": {"entropy-loss-gap", "output-bias"},
        "homogeneous layers have the same right side, undecayed biases too": {"equal-pull", "equal-pull-with-biases"},
        "envelope: sizes from the loss curve": {"envelope"},
        "bounds with nothing measured": {"size-bounds"},
    },
    "symmetries": {
        "dead inputs only decay": {"dead-input", "decay-floor"},
        "translation of softmax logits": {"translation-symmetry"},
        "scale": {"scale-symmetry", "scale-invariant-step"},
        "rescale, biases decayed or not": {"rescale-symmetry", "rescale-symmetry-undecayed-bias"},
        "deep linear; rotations alone conserve nothing": {"deep-linear-symmetry", "rotation-symmetry"},
        "momentum: driven damped oscillator": {"momentum-oscillator"},
        "momentum: the border of oscillation from the exact recursion": {
            "momentum-linear-charge",
            "momentum-quadratic-charge",
        },
    },
    "the fixed point under rescaling": {
        "general homogeneity of pull and gradient power": {"rescaling-balance", "bernoulli-flow"},
        "scale-invariant SGD: size, rotation, return": {"scale-invariant-step", "scale-invariant-flow"},
        "effective learning rate before a normalization": {"effective-learning-rate"},
        "homogeneous layers with cross-entropy: the law per layer": {"equal-pull"},
        "homogeneous layers with squared error": {"squared-error-rescaling"},
        "one margin: exponential and logistic loss, collapse, fold": {"one-margin-exponential", "one-margin-logistic"},
        "collapse of two layers, with biases, with ReLU": {
            "collapse-threshold",
            "collapse-threshold-biases",
            "collapse-threshold-relu",
        },
        "two linear layers: nuclear norm; more: Schatten": {"nuclear-norm", "layer-split"},
        "soft threshold and its dynamics": {"soft-threshold"},
        "depth: fold, first-order transition, stable origin": {"depth-transition"},
        "balanced flow of the product": {"product-flow"},
        "sigmoid layers: saturation ratio, and moments for a better closure": {"sigmoid-saturation", "probit-unit"},
    },
    "optimizers": {
        "any linear filter to leading order": {"filter-leading-order"},
        "linear filters, exactly": {
            "optimizer-sgd",
            *(
                f"optimizer-{name}-{coupling}"
                for name in ("heavy-ball", "nesterov", "ema")
                for coupling in ("coupled", "decoupled")
            ),
        },
        "any stationary updates: Green and Kubo": {"green-kubo"},
        "RMSprop": {"optimizer-rmsprop"},
        "AdamW and its correction": {"optimizer-adamw", "second-moment-fluctuation"},
        "Adam with L2": {"optimizer-adam-coupled"},
        "sign descent, both couplings": {"optimizer-sign-coupled", "optimizer-sign-decoupled"},
        "Signum and Lion: arcsine law": {"optimizer-signum", "optimizer-lion", "arcsine-law"},
        "Muon: polar factors, and what Newton-Schulz steps change": {"optimizer-muon", "newton-schulz-power"},
        "published formulas that miss": {"published-approximations"},
        "heavy ball without replacement: Wan's measured power": {"heavy-ball-measured-power"},
    },
    "stochastic equations": {
        "norm under isotropic noise: Ito, CIR, Gamma": {"ito-norm", "cox-ingersoll-ross"},
        "its root: Bessel with decay": {"bessel-ornstein-uhlenbeck"},
        "the same law at finite learning rate": {"gaussian-sgd"},
        "scale-invariant: norm to the fourth is linear, and fluctuates": {
            "scale-invariant-flow",
            "norm-fourth-fluctuation",
        },
        "memory of the direction": {"direction-memory"},
        "covariance near a minimum": {"ornstein-uhlenbeck-covariance"},
        "modified equation": {"modified-equation"},
        "stationary density in one dimension": {"fokker-planck-stationary"},
        "without noise the equilibrium is unstable": {"noise-free-equilibrium"},
    },
    "schedules and practice": {
        "a drop of the learning rate": {"learning-rate-drop"},
        "gradient over weight, and the decay that keeps it flat": {"gradient-to-weight-ratio"},
        "bounds by a norm where the signal dominates": {"steady-direction"},
        "number formats": {"number-format-floor"},
        "Nielsen's claims": {"nielsen-claim-1", "nielsen-claim-2", "nielsen-claim-3"},
        "laws that integrators are tested on": {
            "cox-ingersoll-ross-transition",
            "geometric-brownian-transition",
            "ornstein-uhlenbeck-transition",
        },
    },
    "conventions": {
        "what each program's parameter means": {
            *(
                f"convention-{name}"
                for name in (
                    "nielsen",
                    "pytorch",
                    "keras",
                    "scikit-learn",
                    "scikit-learn-lbfgs",
                    "fully-decoupled",
                    "adamc",
                )
            ),
        },
        "decay per epoch and its time constant": {"decay-per-epoch"},
    },
}
NAMED = {fact: names for facts in COVERED.values() for fact, names in facts.items()}


def test_every_fact_has_its_derivations():
    missing = {fact: names - set(theory.names()) for fact, names in NAMED.items()}
    assert {} == {fact: names for fact, names in missing.items() if names}
    assert all(NAMED.values())


def test_every_derivation_is_there_for_a_fact():
    assert set() == set(theory.names()) - set().union(*NAMED.values())
