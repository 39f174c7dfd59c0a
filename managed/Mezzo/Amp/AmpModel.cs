// SPDX-License-Identifier: MIT
namespace Mezzo;

/// <summary>
/// A model at an opt level: where the level casts models, floating-point inputs go in as its 16-bit dtype and 16-bit outputs come
/// out as f32. f64 and integers pass as they are.
/// </summary>
/// <remarks>The parameters, and their names, are those of the model, which it is made of.</remarks>
/// <typeparam name="TInput">A tensor, a tuple of up to four, or an array of them.</typeparam>
/// <typeparam name="TOutput">The same.</typeparam>
public sealed class AmpModel<TInput, TOutput> : Module<TInput, TOutput>
{
    internal AmpModel(Module<TInput, TOutput> model, OptLevelOptions options, Device device)
    {
        (Model, Options) = (model, options);
        Scaler = new GradScaler(options.ScalerPolicy, device);
        Adopt(model);
    }

    /// <summary>The model itself.</summary>
    public Module<TInput, TOutput> Model { get; }

    /// <summary>The level.</summary>
    public OptLevelOptions Options { get; }

    /// <summary>The loss scaler of the level.</summary>
    public GradScaler Scaler { get; }

    /// <summary>Casts the input, runs the model, under autocast where the level says so, and casts the output.</summary>
    public override TOutput Forward(TInput input)
    {
        if (!Options.CastModel)
        {
            using var autocast = Autocast.Enable(Options.Precision);
            return Model.Forward(input);
        }

        var output = Model.Forward(Each(input, tensor => tensor.DType == DType.Float32 ? tensor.To(Options.HalfType) : tensor));
        return Each(output, tensor => tensor.DType.IsHalf() ? tensor.To(DType.Float32) : tensor);
    }

    /// <summary>Calls a function for each tensor of a value.</summary>
    private static T Each<T>(T value, Func<Tensor, Tensor> cast)
    {
        object? result = value switch
        {
            Tensor tensor => cast(tensor),
            ValueTuple<Tensor, Tensor> of => (cast(of.Item1), cast(of.Item2)),
            ValueTuple<Tensor, Tensor, Tensor> of => (cast(of.Item1), cast(of.Item2), cast(of.Item3)),
            ValueTuple<Tensor, Tensor, Tensor, Tensor> of => (cast(of.Item1), cast(of.Item2), cast(of.Item3), cast(of.Item4)),
            Tensor[] tensors => Array.ConvertAll(tensors, tensor => cast(tensor)),
            _ => throw new NotSupportedException(
                $"A model at an opt level that casts takes and gives a tensor, a tuple of up to four tensors or an array of them, got {typeof(T)}."),
        };
        return (T)result;
    }
}
