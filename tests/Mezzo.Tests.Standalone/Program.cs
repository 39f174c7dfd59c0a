// SPDX-License-Identifier: MIT
using Mezzo.Tests.Standalone;

if (Options.Parse(args, out string? error) is not { } options)
{
    Console.Error.WriteLine(error);
    return 2;
}

return new TestRun(options).Execute() ? 0 : 1;
