"""The fused embedding in float64, as its equations say: h = relu(W s + b), cosine distance, max-pooling."""

import numpy as np


def embed(student, weight, bias, relu):
    """student (N, Cs, H, W), weight (Ct, Cs), bias (Ct,) or None -> h (N, Ct, H, W)"""
    h = np.einsum("oi,nihw->nohw", weight, student)
    if bias is not None:
        h = h + bias[:, None, None]
    return np.where(h < 0, 0, h) if relu else h  # NaN stays


def statistics(h, teacher):
    """(N, 3, H, W): h.t, h.h, t.t"""
    return np.stack([(h * teacher).sum(1), (h * h).sum(1), (teacher * teacher).sum(1)], axis=1)


def distance_sum(sums, eps):
    dot, h_square, t_square = sums.transpose(1, 0, 2, 3)
    return (1 - dot / (np.maximum(np.sqrt(h_square), eps) * np.maximum(np.sqrt(t_square), eps))).sum()


def windows(h, kernel):
    """(N, Ct, h, w, kernel_h * kernel_w), -inf outside of the map"""
    batch, channels, height, width = h.shape
    down, across = -(-height // kernel[0]), -(-width // kernel[1])
    padded = np.full((batch, channels, down * kernel[0], across * kernel[1]), -np.inf)
    padded[:, :, :height, :width] = h
    tiled = padded.reshape(batch, channels, down, kernel[0], across, kernel[1]).transpose(0, 1, 2, 4, 3, 5)
    return tiled.reshape(batch, channels, down, across, -1)


def at_argmax(values, argmax, kernel, shape):
    """values (N, Ct, h, w) at the pixel that each window's argmax names, 0 elsewhere -> `shape`"""
    batch, channels, down, across = values.shape
    tiled = np.zeros((*values.shape, kernel[0] * kernel[1]))
    np.put_along_axis(tiled, argmax[..., None].astype(np.int64), values[..., None], axis=-1)
    tiled = tiled.reshape(batch, channels, down, across, *kernel).transpose(0, 1, 2, 4, 3, 5)
    return tiled.reshape(batch, channels, down * kernel[0], across * kernel[1])[..., : shape[2], : shape[3]]


def gradients(student, weight, bias, teacher, relu, eps, grad_loss, grad_pooled, argmax, kernel):
    """-> gradients of student, weight and bias"""
    h = embed(student, weight, bias, relu)
    grad = np.zeros_like(h)
    if teacher is not None:
        dot, h_square, t_square = (x[:, None] for x in statistics(h, teacher).transpose(1, 0, 2, 3))
        length = np.maximum(np.sqrt(h_square), eps)
        scale = grad_loss / (length * np.maximum(np.sqrt(t_square), eps))
        with np.errstate(divide="ignore", invalid="ignore"):
            along = np.where(np.sqrt(h_square) > eps, dot / h_square, 0)
        grad = np.where(h_square == 0, 0, -scale * (teacher - along * h))
    if grad_pooled is not None:
        grad = grad + at_argmax(grad_pooled, argmax, kernel, h.shape)
    if relu:
        grad = np.where(h > 0, grad, 0)
    return (
        np.einsum("oi,nohw->nihw", weight, grad),
        np.einsum("nohw,nihw->oi", grad, student),
        grad.sum((0, 2, 3)),
    )
