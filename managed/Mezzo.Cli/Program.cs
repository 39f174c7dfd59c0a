// SPDX-License-Identifier: MIT
using System.Runtime.InteropServices;
using Mezzo.Cli.CommandLine;
using Mezzo.Cli.Terminal;

using var cancellation = new CancellationTokenSource();
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Stop);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Stop);
return MezzoProgram.Run(args, TerminalOutput.System(), cancellation.Token);

// The first signal lets the job end with what it has measured; a second one ends the process at once.
void Stop(PosixSignalContext context)
{
    context.Cancel = !cancellation.IsCancellationRequested;
    cancellation.Cancel();
}
