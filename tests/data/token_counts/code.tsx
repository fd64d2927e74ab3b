import React, { useCallback, useEffect, useMemo, useState } from "react";
import type { Invoice, SortOrder } from "../types";
import { fetchInvoices } from "../api/client";

interface Props {
  customerId: string;
  onSelect?: (invoice: Invoice) => void;
}

export function InvoiceTable({ customerId, onSelect }: Props) {
  const [invoices, setInvoices] = useState<Invoice[]>([]);
  const [order, setOrder] = useState<SortOrder>("asc");
  const [error, setError] = useState<string | null>(null);

  useEffect(() => {
    let cancelled = false;
    fetchInvoices(customerId)
      .then((result) => !cancelled && setInvoices(result))
      .catch((reason) => setError(String(reason)));
    return () => {
      cancelled = true;
    };
  }, [customerId]);

  const sorted = useMemo(
    () => [...invoices].sort((a, b) => (order === "asc" ? a.total - b.total : b.total - a.total)),
    [invoices, order],
  );
  const toggle = useCallback(() => setOrder((o) => (o === "asc" ? "desc" : "asc")), []);

  if (error !== null) {
    return <p className="text-red-600 font-semibold">Something went wrong: {error}</p>;
  }
  return (
    <table className="min-w-full divide-y divide-gray-200">
      <thead>
        <tr>
          <th onClick={toggle}>Total {order === "asc" ? "▲" : "▼"}</th>
        </tr>
      </thead>
      <tbody>
        {sorted.map((invoice) => (
          <tr key={invoice.id} onClick={() => onSelect?.(invoice)}>
            <td>{invoice.total.toFixed(2)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
