// SPDX-License-Identifier: MIT
namespace Mezzo.Autograd;

/// <summary>Is told of the ops that are recorded, and of those that run backward, while it is installed.</summary>
internal abstract class TapeObserver
{
    private static readonly AsyncLocal<TapeObserver?> Installed = new();
    private TapeObserver? _outer;

    /// <summary>The observers that are installed, the last one first.</summary>
    public static IEnumerable<TapeObserver> All
    {
        get
        {
            for (var observer = Last; observer is not null; observer = observer.Outer)
            {
                yield return observer;
            }
        }
    }

    /// <summary>The observer that was installed last; null for none.</summary>
    public static TapeObserver? Last => Installed.Value;

    /// <summary>
    /// Whether what runs is a trial, after which everything is to be as before: running statistics do not move, and random
    /// draws are not counted.
    /// </summary>
    public static bool IsInTrial => Last is not null && All.Any(observer => observer.IsTrial);

    /// <summary>The one that was installed before this one; null for none.</summary>
    public TapeObserver? Outer => _outer;

    /// <summary>Whether what runs while this one is installed is a trial.</summary>
    protected virtual bool IsTrial => false;

    /// <summary>Tells the observers that something else than a recorded op reads a tensor.</summary>
    public static void TellOfRead(Tensor tensor)
    {
        for (var observer = Last; observer is not null; observer = observer.Outer)
        {
            observer.Read(tensor);
        }
    }

    /// <summary>Tells the observers that something else than a recorded op has a view of a tensor.</summary>
    public static void TellOfView(Tensor tensor)
    {
        for (var observer = Last; observer is not null; observer = observer.Outer)
        {
            observer.Share(tensor);
        }
    }

    /// <summary>Has this one told as well, until the result is disposed of.</summary>
    public IDisposable Install()
    {
        _outer = Installed.Value;
        var installation = new Installation(Installed.Value);
        Installed.Value = this;
        return installation;
    }

    /// <summary>An op that will be recorded is about to run.</summary>
    public virtual void BeforeForward(Operation operation)
    {
    }

    /// <summary>An op has run and is recorded, and what was cast for it is freed.</summary>
    public virtual void AfterForward(Operation operation, Tensor output)
    {
    }

    /// <summary>Something else than a recorded op is about to read a tensor.</summary>
    public virtual void Read(Tensor tensor)
    {
    }

    /// <summary>Something else than a recorded op has the elements of a tensor from now on.</summary>
    public virtual void Share(Tensor tensor)
    {
    }

    /// <summary>An op is about to run backward.</summary>
    public virtual void BeforeBackward(Operation operation)
    {
    }

    /// <summary>An op has run backward, and what it saved is still there.</summary>
    public virtual void AfterBackward(Operation operation)
    {
    }

    private sealed class Installation(TapeObserver? outer) : IDisposable
    {
        public void Dispose() => Installed.Value = outer;
    }
}
