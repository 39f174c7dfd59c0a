// SPDX-License-Identifier: MIT
// Trains y = 2x + 1 with the installed package, in fp32 and bf16, and fails unless the loss falls. Then asks the CUDA
// runtime in the package for GPUs, and fails unless it lists one where the driver knows any, and else says why not.
using System.Runtime.InteropServices;
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

int? gpus = Driver.CountGpus();
int found = Device.Count(DeviceType.Cuda);
string reason = Device.MissingReason(DeviceType.Cuda);
bool agrees = gpus switch
{
    null => found == 0 && reason == "no NVIDIA driver is installed (libcuda.so.1 was not found)",
    0 => found == 0 && reason.Length > 0,
    _ => found > 0 && reason.Length == 0 && Device.Cuda().IsAvailable,
};
Console.WriteLine(found > 0 ? $"cuda:0 of {found}: {Device.Cuda().Name}" : $"no CUDA device: {reason}");
if (!agrees)
{
    string driver = gpus is null ? "there is no driver" : $"the driver knows {gpus} GPUs";
    Console.Error.WriteLine($"{driver}, but the package lists {found}, and the reason is '{reason}'");
    return 1;
}

Console.WriteLine($"Mezzo {Runtime.Version} from {Runtime.NativeLibraryPath}");
return 0;

/// <summary>NVIDIA's driver, asked without the package.</summary>
internal static class Driver
{
    private const string Library = "libcuda.so.1";

    /// <summary>GPUs that programs may use; null where there is no driver.</summary>
    public static int? CountGpus() =>
        !NativeLibrary.TryLoad(Library, out _) ? null : Initialize(0) == 0 && GetCount(out int count) == 0 ? count : 0;

    [DllImport(Library, EntryPoint = "cuInit")]
    private static extern int Initialize(uint flags);

    [DllImport(Library, EntryPoint = "cuDeviceGetCount")]
    private static extern int GetCount(out int count);
}
