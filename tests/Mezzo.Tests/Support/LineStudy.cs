// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Support;

/// <summary>y = 3 x - 1, learnt by a small network.</summary>
internal sealed class LineStudy
{
    public const int Samples = 64;

    public LineStudy(DType dtype = DType.Float32, double weightDecay = 0, double dropout = 0)
    {
        X = Tensor.Uniform([Samples, 1], -1, 1, dtype, random: new RandomSource(1));
        Target = X * 3 + Tensor.Full([Samples, 1], -1, dtype);
        Module<Tensor, Tensor>[] dropped = dropout > 0 ? [new Dropout(dropout)] : [];
        Model = new Sequential([new Linear(1, 16, dtype: dtype), new ReLU(), .. dropped, new Linear(16, 1, dtype: dtype)]);
        Optimizer = new Adam(Model.Parameters(), lr: 0.02, weightDecay: weightDecay);
    }

    public Tensor X { get; }

    public Tensor Target { get; init; }

    public Sequential Model { get; }

    public Adam Optimizer { get; }

    public Tensor Loss() => Loss(X, Target);

    public Tensor Loss(Tensor x, Tensor target) => Losses.Mse(Model.Forward(x).To(x.DType), target);

    public Trainer Trainer(TrainerOptions options) => new(Optimizer, options);
}
