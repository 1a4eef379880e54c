"""How far a session's event counts lie outside what normal sessions span (PCA)."""

import numpy as np

_KEPT = 0.95  # share of the spectrum that is called normal
_C_ALPHA = 3.2905  # normal deviate of a false alarm rate of 0.05 %


def fit_score(normal, times, test) -> tuple[np.ndarray, float]:
  """Fit on normal sessions, score others.

  With n normal sessions, n_j of which hold event j: X = count ln(n / n_j), centred,
  C = X'X / n, U its leading eigenvectors that keep 95 % of the spectrum:
  SPE = |(I - U U') x|^2, anomalous above the Q statistic (`q_statistic`).

  Args:
    normal: [U, V] sparse counts of the different normal sessions.
    times: [U] how many sessions each stands for.
    test: [U', V] sparse counts.

  Returns:
    SPE [U'], threshold.

  References:
    Xu et al, Detecting large-scale system problems by mining console logs, SOSP
    2009. An event that no normal session holds counts as in 1e-8 of them, as in the
    public re-implementation loglizer.
  """
  share = times / times.sum()
  idf = -np.log((normal > 0).T @ share + 1e-8 / times.sum())
  mean = idf * (normal.T @ share)
  scaled = normal.multiply(idf).tocsr()
  cov = (scaled.T @ scaled.multiply(share[:, None])).toarray() - np.outer(mean, mean)
  basis, rest = principal(cov, _KEPT)
  centred = test.multiply(idf).toarray() - mean
  error = centred - centred @ basis @ basis.T
  return (error**2).sum(axis=1), q_statistic(rest)


def principal(cov, kept: float) -> tuple[np.ndarray, np.ndarray]:
  """The leading eigenvectors that keep a share of the spectrum, and what is left.

  Args:
    cov: [D, D], symmetric.
    kept: the share that the leading ones have at least.

  Returns:
    U [D, k], and the other D - k eigenvalues, largest first.
  """
  spectrum, basis = np.linalg.eigh(cov)
  spectrum, basis = np.maximum(spectrum[::-1], 0), basis[:, ::-1]
  num = np.searchsorted(np.cumsum(spectrum), kept * spectrum.sum()) + 1
  return basis[:, :num], spectrum[num:]


def q_statistic(rest, c_alpha: float = _C_ALPHA) -> float:
  """Upper limit of the SPE of normal sessions (Jackson and Mudholkar 1979).

  Q = φ1 [c √(2 φ2 h0²) / φ1 + 1 + φ2 h0 (h0 - 1) / φ1²]^(1 / h0), φ_i = Σ λ_j^i over
  the spectrum left out, h0 = 1 - 2 φ1 φ3 / (3 φ2²).
  """
  phi1, phi2, phi3 = (float((rest**power).sum()) for power in (1, 2, 3))
  if phi1 <= 1e-12:
    return 1e-9  # normals fill their subspace: what lies outside is rounding, or new
  h0 = 1 - 2 * phi1 * phi3 / (3 * phi2**2)
  root = c_alpha * np.sqrt(2 * phi2 * h0**2) / phi1 + 1
  root += phi2 * h0 * (h0 - 1) / phi1**2
  if h0 <= 0 or root <= 0:  # outside the approximation: the sum's own normal one
    return float(phi1 + c_alpha * np.sqrt(2 * phi2))
  return float(phi1 * root ** (1 / h0))
