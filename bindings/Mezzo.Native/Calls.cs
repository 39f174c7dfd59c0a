// SPDX-License-Identifier: MIT
using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;

namespace Mezzo.Native;

/// <content>What the generated calls share.</content>
internal static unsafe partial class Calls
{
    /// <summary>Throws unless a call has succeeded. Must run on the thread of the call, whose error it reads.</summary>
    /// <exception cref="MezzoException">The status is not <see cref="MezzoStatus.Ok"/>.</exception>
    internal static void Check(MezzoStatus status)
    {
        if (status != MezzoStatus.Ok)
        {
            Throw(status);
        }
    }

    [DoesNotReturn]
    private static void Throw(MezzoStatus status) => throw new MezzoException(status, LastError());

    private static string Text(byte* text) => Marshal.PtrToStringUTF8((nint)text) ?? "";

    private static void ExpectLength(int length, string name, int expected, string reference)
    {
        if (length != expected)
        {
            throw new ArgumentException($"{name} has {length} elements, expected {expected} as in {reference}.", name);
        }
    }

    private static void ExpectLengthOrEmpty(int length, string name, int expected, string reference)
    {
        if (length != 0)
        {
            ExpectLength(length, name, expected, reference);
        }
    }
}
