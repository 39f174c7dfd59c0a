// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;

namespace Mezzo.Native;

/// <summary>Tells whether a loaded library is Mezzo, of the ABI that these bindings were generated from.</summary>
internal static unsafe class NativeLibraryCheck
{
    /// <summary>Why a library cannot be used, or null when it can.</summary>
    public static string? Refusal(nint library)
    {
        // The imports cannot be called yet: they would ask the resolver, which is what runs this check.
        if (!TryExport(library, nameof(NativeMethods.mezzo_abi_check), out void* abiCheck, out string? missing)
            || !TryExport(library, nameof(NativeMethods.mezzo_version), out void* version, out missing)
            || !TryExport(library, nameof(NativeMethods.mezzo_last_error), out void* lastError, out missing))
        {
            return $"not a library of Mezzo: it has no function {missing}";
        }

        var status = ((delegate* unmanaged[Cdecl]<uint, MezzoStatus>)abiCheck)(Constants.AbiVersion);
        return status == MezzoStatus.Ok
            ? null
            : $"Mezzo {Text(version)} has another ABI than these bindings, which need ABI version "
                + $"{Constants.AbiVersion}: {Text(lastError)}";
    }

    private static bool TryExport(nint library, string name, out void* address, out string? missing)
    {
        bool found = NativeLibrary.TryGetExport(library, name, out nint export);
        address = (void*)export;
        missing = found ? null : name;
        return found;
    }

    private static string Text(void* function) =>
        Marshal.PtrToStringUTF8((nint)((delegate* unmanaged[Cdecl]<byte*>)function)()) ?? "";
}
