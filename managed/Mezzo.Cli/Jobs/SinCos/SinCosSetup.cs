// SPDX-License-Identifier: MIT
namespace Mezzo.Cli.Jobs.SinCos;

/// <summary>
/// What is trained: the data, the network in a precision, and its optimizer. One source, drawn from in the same order, gives
/// every precision the same data and the same initial parameters.
/// </summary>
internal sealed class SinCosSetup : IDisposable
{
    /// <summary>Makes all of it; the data belong to the current scope.</summary>
    public SinCosSetup(SinCosOptions options, Precision precision)
    {
        var random = new RandomSource(options.Seed);
        Data = SinCosData.Create(options.Samples, options.Device, random);
        Net = new SinCosNet(options.Layers, options.Hidden, options.Device, random);
        Model = Amp.Initialize(Net, options.LevelOf(precision));
        Optimizer = CreateOptimizer(options);
    }

    public SinCosData Data { get; }

    public SinCosNet Net { get; }

    /// <summary>The network as it is trained.</summary>
    public AmpModel<Tensor, (Tensor Sin, Tensor Cos)> Model { get; }

    public Optimizer Optimizer { get; }

    /// <summary>Loss on all data.</summary>
    public Tensor Loss() => Loss(Data.X, Data.Sin, Data.Cos);

    /// <summary>Loss on a part of them.</summary>
    /// <param name="part">x, sine and cosine.</param>
    public Tensor Loss(IReadOnlyList<Tensor> part) => Loss(part[0], part[1], part[2]);

    public void Dispose()
    {
        Optimizer.Dispose();
        Net.Dispose();
    }

    private Tensor Loss(Tensor x, Tensor sin, Tensor cos)
    {
        var (sinPrediction, cosPrediction) = Model.Forward(x);
        return Losses.Mse(sinPrediction, sin) + Losses.Mse(cosPrediction, cos);
    }

    private Optimizer CreateOptimizer(SinCosOptions options)
    {
        var hyperparameters = options.Optimizer.Options with { LearningRate = options.LearningRate };
        hyperparameters = hyperparameters with
        {
            WeightDecay = options.WeightDecay ?? hyperparameters.WeightDecay,
            Clipping = options.MaxGradNorm is { } norm ? GradientClipping.ByNorm(norm) : hyperparameters.Clipping,
        };
        var optimizer = (options.Optimizer with { Options = hyperparameters }).Create(Net.Parameters());
        optimizer.MeasuresGradients = true;
        optimizer.Schedule = options.Schedule.Create(options.Epochs, options.Warmup);
        return optimizer;
    }
}
