import { AppWindow, Box, Boxes, Cpu, Database, Globe, HardDrive, Layers, Network, Server, Users, type LucideIcon } from 'lucide-react';
import type { Model } from '../../api/types';
import { Icon } from '../../components/base';

const known: Record<string, LucideIcon> = {
  host: Server,
  server: Server,
  postgresql: Database,
  mysql: Database,
  redis: Layers,
  nginx: Globe,
  database: Database,
  business_application: AppWindow,
  application: AppWindow,
  app: AppWindow,
  environment: Boxes,
  team: Users,
  users: Users,
  network: Network,
  globe: Globe,
  layers: Layers,
  cpu: Cpu,
  disk: HardDrive,
  boxes: Boxes,
};

export const modelIconNames = ['server', 'database', 'layers', 'globe', 'network', 'cpu', 'disk', 'application', 'boxes', 'users'];

export function ModelIcon({ model }: { model: Pick<Model, 'name' | 'icon'> }) {
  return <Icon of={known[model.icon ?? ''] ?? known[model.name] ?? Box} />;
}
