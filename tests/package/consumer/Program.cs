// SPDX-License-Identifier: MIT
// Trains y = 2x + 1 with the installed package, in fp32 and bf16, and fails unless the loss falls.
using Mezzo;

float[] inputs = [.. Enumerable.Range(0, 64).Select(i => i / 32f - 1)];
float[] outputs = [.. inputs.Select(value => 2 * value + 1)];
using Tensor x = Tensor.Create<float>(inputs, [64, 1]);
using Tensor y = Tensor.Create<float>(outputs, [64, 1]);

foreach (Precision precision in new[] { Precision.Float32, Precision.BFloat16 })
{
    RandomSource.SetDefaultSeed(0);
    var net = new Sequential(new Linear(1, 16), new ReLU(), new Linear(16, 1));
    var optimizer = new Adam(net.Parameters(), lr: 0.01);
    var trainer = new Trainer(optimizer, new TrainerOptions { Precision = precision });
    TrainingHistory history = trainer.Run(() => Losses.Mse(net.Forward(x).To(DType.Float32), y), 200);
    Console.WriteLine($"{precision}: loss {history.Losses[0]:g4} -> {history.Losses[^1]:g4}");
    if (!(history.Losses[^1] < 0.01 * history.Losses[0]))
    {
        Console.Error.WriteLine($"{precision}: the loss did not fall to a hundredth");
        return 1;
    }
}

Console.WriteLine($"Mezzo {Runtime.Version} from {Runtime.NativeLibraryPath}");
return 0;
