// SPDX-License-Identifier: MIT
using System.Runtime.CompilerServices;

// Every type that crosses the ABI is blittable; this makes the compiler hold to it.
[assembly: DisableRuntimeMarshalling]
