defmodule Shapes.Fields do
  # None of these calls anything that is not known.
  def one(bill), do: bill.net
  def sum(bill), do: bill.net + bill.tax
  def nested(x), do: x.a.b.c
  def each(list), do: Enum.map(list, & &1.name)
  def kept(c) do
    send(self(), c.x)
    {c.y, c.x}
  end
  def in_try(c) do
    try do
      c.x
    rescue
      _ -> c.y
    end
  end

  # These do.
  def call(m), do: m.run()
  def call_both(m), do: {m.run(), m.field}
  def call_given(m, x), do: {x.run, m.run()}
  def called_by_name(m), do: apply(m, :go, [])
  def with_arguments(m, x), do: m.run(x)
end
