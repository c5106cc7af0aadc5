import { sql } from "drizzle-orm";

/**
 * Makes the transaction that evaluates it wait for the disk, where the database's default is that none does. A
 * stricter default stays.
 */
export const durable = sql`set_config('synchronous_commit', case current_setting('synchronous_commit')
  when 'off' then 'on' else current_setting('synchronous_commit') end, true)`;
