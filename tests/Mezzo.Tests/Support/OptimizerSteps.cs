// SPDX-License-Identifier: MIT
namespace Mezzo.Tests.Support;

/// <summary>Optimizer steps with gradients of choice.</summary>
internal static class OptimizerSteps
{
    public static double[] Values(Tensor tensor) =>
        tensor.DType == DType.Float64 ? tensor.ToArray<double>() : Array.ConvertAll(tensor.ToArray<float>(), value => (double)value);

    /// <summary>Adds to a parameter's gradient.</summary>
    public static void Backward(Parameter parameter, double[] gradient) => Backward(parameter.Scale(1), gradient);

    /// <summary>The same for what was made of the parameter.</summary>
    public static void Backward(Tensor output, double[] gradient)
    {
        using var weights = Tensor.Create(gradient, output.Shape);
        output.Backward(weights.To(output.DType));
    }

    /// <summary>One step of a parameter of one element.</summary>
    /// <returns>Its value afterwards.</returns>
    public static double With(Optimizer optimizer, Parameter parameter, double gradient)
    {
        optimizer.ZeroGrad();
        Backward(parameter, [gradient]);
        optimizer.Step();
        return Values(parameter)[0];
    }
}
