#:project ../../managed/Mezzo
#:property PublishAot=false
// SPDX-License-Identifier: MIT
// Which ops autocast runs in which dtypes, and what that changes: dotnet run -c Release samples/csharp/autocast.cs
using Mezzo;

using var model = new Sequential(new Linear(8, 16), new ReLU(), new Linear(16, 16), new ReLU(), new Linear(16, 1));
using var x = Tensor.Uniform([32, 8]);
using var y = Tensor.Uniform([32, 1]);

var plain = OpManifest.Record(Forward);
var mixed = OpManifest.Record(() =>
{
    using var autocast = Autocast.Enable(DType.Float16);
    Forward();
});

Console.WriteLine($"in fp32:\n{plain}\nunder autocast to fp16:\n{mixed}\nthe difference:\n{mixed.Diff(plain.ToString())}");
return mixed.Entries.Any(entry => entry is { Op: "linear", Output: DType.Float16 }) ? 0 : 1;

void Forward()
{
    using var scope = TensorScope.Begin();
    Losses.Mse(model.Forward(x), y);
}
