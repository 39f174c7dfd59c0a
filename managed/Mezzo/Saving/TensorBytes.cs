// SPDX-License-Identifier: MIT
using System.Buffers;
using Mezzo.Native;

namespace Mezzo;

/// <summary>A tensor's elements as bytes, row-major and little-endian, in pieces: no second copy of a large tensor is made.</summary>
internal static class TensorBytes
{
    private const int PieceBytes = 1 << 22;

    /// <summary>Writes all elements. Waits for the work that computes them.</summary>
    public static void CopyTo(Tensor tensor, Stream stream) => InPieces(tensor, (piece, buffer) =>
    {
        Calls.TensorRead(buffer, piece.Handle);
        stream.Write(buffer);
    });

    /// <summary>Overwrites all elements.</summary>
    /// <exception cref="EndOfStreamException">There are fewer bytes.</exception>
    public static void CopyFrom(Tensor tensor, Stream stream)
    {
        InPieces(tensor, (piece, buffer) =>
        {
            stream.ReadExactly(buffer);
            Calls.TensorWrite<byte>(piece.Handle, buffer);
        });
        tensor.MarkChanged();
    }

    private delegate void PieceCopy(Tensor piece, Span<byte> buffer);

    private static void InPieces(Tensor tensor, PieceCopy copy)
    {
        int size = tensor.DType.Size();
        long perPiece = PieceBytes / size;
        byte[] buffer = ArrayPool<byte>.Shared.Rent((int)Math.Min(PieceBytes, Math.Max(1, tensor.ElementCount * size)));
        try
        {
            for (long start = 0; start < tensor.ElementCount; start += perPiece)
            {
                long count = Math.Min(perPiece, tensor.ElementCount - start);
                using var piece = tensor.ViewOwned([count], start);
                copy(piece, buffer.AsSpan(0, (int)(count * size)));
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
