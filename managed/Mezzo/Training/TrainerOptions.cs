// SPDX-License-Identifier: MIT
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Mezzo;

/// <summary>Settings of a <see cref="Trainer"/>.</summary>
public sealed class TrainerOptions
{
    /// <summary>In which dtype matrices are multiplied.</summary>
    public Precision Precision { get; init; }

    /// <summary>
    /// The loss scaler. Null stands for a dynamic one in <see cref="Precision.Float16"/>, and for a fixed
    /// scale of 1 otherwise, which skips and reports steps with Inf or NaN as well.
    /// </summary>
    public GradScaler? Scaler { get; init; }

    /// <summary>
    /// Whether steps that repeat are captured in graphs and launched, with results bit-identical to those of steps
    /// run one op after the other. What a loss function has to be for that, see <see cref="Trainer.Step(Func{Tensor})"/>.
    /// </summary>
    public CaptureMode Capture { get; init; }

    /// <summary>
    /// Receives a line every <see cref="LogEvery"/> steps, for each skipped step, and when steps that should be
    /// captured cannot be.
    /// </summary>
    public ILogger Logger { get; init; } = NullLogger.Instance;

    /// <summary>
    /// Number of steps whose results <c>Trainer.Run</c> reads together when they are launched as graphs on CUDA: the host
    /// goes on to the next step instead of waiting for each. Results, log lines and progress come that much later, and
    /// cancelling takes that much longer. Null stands for 32, and for 1 where there is progress to report, so that what
    /// its receiver changes is known to the next step.
    /// </summary>
    public int? ReadEvery { get; init; }

    /// <summary>
    /// Number of batches whose gradients <c>Trainer.Run</c> accumulates for one step where it is given batches, at one loss scale:
    /// a step then does what it would do with one batch of so many times the size, in the memory of one. The last step of a
    /// run may have fewer. The batches of a step are taken before it runs, so they must live side by side.
    /// </summary>
    public int MicroBatches { get; init; } = 1;

    /// <summary>
    /// How often a step whose gradients overflowed is tried again at the lower scale, instead of dropping its batch; each try
    /// moves the scale by the policy's rules. The backward pass alone is made again; of a step that is launched as a graph, or
    /// has several micro-batches, all of it, with running statistics as they were before the first try. Nothing is tried
    /// again where no lower scale can help, and with a static scale. With tries the host waits for each step, whatever
    /// <see cref="ReadEvery"/> says, and activations are kept until its end.
    /// </summary>
    public int RetriesOnOverflow { get; init; }

    /// <summary>Steps between two logged losses; 0 logs none.</summary>
    public int LogEvery { get; init; } = 20;

    /// <summary>
    /// Folder that <c>Trainer.Run</c> saves the state of the run in when it ends or is cancelled, and every
    /// <see cref="SaveEvery"/> steps; null for none. <see cref="Trainer.Resume"/> goes on from there.
    /// </summary>
    public string? SaveFolder { get; init; }

    /// <summary>Steps between two saves; 0 saves at the end of a run alone.</summary>
    public int SaveEvery { get; init; }

    /// <summary>Number of saved states to keep; older ones are deleted. More than one serves where the disk damages the latest.</summary>
    public int SavesKept { get; init; } = 2;

    /// <summary>
    /// What the weights of a saved state are taken from, and named by. Null stands for the model that the optimizer was made of, or,
    /// where it was made of parameters, for these alone, without buffers, under the names that they have when the trainer is made.
    /// </summary>
    public Module? Model { get; init; }

    /// <summary>
    /// What is saved besides the weights, the optimizer, the scaler and <see cref="RandomSource.Default"/>, such as a
    /// <see cref="BatchOrder"/>; under names without a dot, other than trainer, optimizer, scaler, random and draws.
    /// </summary>
    public IReadOnlyList<(string Name, IResumable Part)> SavedParts { get; init; } = [];
}
