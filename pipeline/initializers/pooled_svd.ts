/**
 * The update nearest to a matrix in the Frobenius norm: what the methods without calibration fit, and
 * QuAILoRA starts from.
 *
 * @module
 */

import type { AdapterShape } from "../adapters/plan.ts";
import { type Matrix, transpose } from "../linalg/matrix.ts";
import { truncatedSvd } from "../linalg/truncated_svd.ts";
import { leadingColumns, scaleRows, significant } from "./pooled_factors.ts";
import { tileMeans, type TileUpdate } from "./pooled_tiles.ts";

/** Singular values below this share of the largest are rounding. */
const THRESHOLD = 1e-12;

/** An update whose right factor carries its singular values: `left = U`, `right = Σ Vᵀ`. */
export interface SvdUpdate extends TileUpdate {
  /** Descending; empty for an update without a rank. */
  readonly singularValues: Float64Array;
}

/**
 * The C of rank at most R that brings `R C Gᵀ` nearest to `target [rows, columns]`: the truncated
 * singular value decomposition of its tile means, because the rest is orthogonal to all tiles, and
 * tiles of one size keep the order of distances. For QA-HiRA the tile means themselves.
 */
export function nearestUpdate(target: Matrix, shape: AdapterShape): SvdUpdate {
  const means = tileMeans(target, shape);
  if (shape.a === null) return { left: means, right: null, singularValues: new Float64Array() };
  const rank = Math.min(shape.rank, means.rows, means.columns);
  const { u, singularValues, v } = truncatedSvd(means, rank);
  const kept = singularValues.subarray(0, significant(singularValues, THRESHOLD));
  return {
    left: leadingColumns(u, kept.length),
    right: scaleRows(transpose(leadingColumns(v, kept.length)), kept),
    singularValues: kept,
  };
}
